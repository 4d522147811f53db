# Fails when a kernel's object offers the linker a function to share with code for other instruction sets: a weak
# definition, as inline functions and templates of common headers give. See src/ops/cpu/kernels.h.
# cmake -DNM=… -DISA=avx512 -DOBJECTS=a.o|b.o -P kernel_symbols.cmake
string(REPLACE "|" ";" objects "${OBJECTS}")
if(NOT objects)
  message(FATAL_ERROR "no objects of ${ISA}")
endif()
foreach(object IN LISTS objects)
  execute_process(COMMAND "${NM}" -C "${object}" OUTPUT_VARIABLE symbols RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${NM} ${object} failed")
  endif()
  string(REGEX MATCHALL "[0-9a-f]+ [WVu] [^\n]+" weak "${symbols}")
  # Data that exceptions need, and what has the instruction set in its name.
  list(FILTER weak EXCLUDE REGEX "DW\\.ref\\.__gxx_personality_v0|fastchat::ops::cpu::${ISA}::")
  if(weak)
    message(FATAL_ERROR "${object} shares: ${weak}")
  endif()
endforeach()
