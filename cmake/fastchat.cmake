# One target per folder, flags in one place.

set(FASTCHAT_WARNINGS -Wall -Wextra -Wno-missing-field-initializers)
if(FASTCHAT_SANITIZE)
  set(FASTCHAT_SANITIZE_FLAGS -fsanitize=${FASTCHAT_SANITIZE} -fno-omit-frame-pointer
                              -fno-sanitize-recover=all)
endif()

# Flags that every target of ours gets. None of them names the machine that builds.
function(fastchat_flags target)
  target_compile_options(${target} PRIVATE ${FASTCHAT_WARNINGS} ${FASTCHAT_SANITIZE_FLAGS})
  target_link_options(${target} PRIVATE ${FASTCHAT_SANITIZE_FLAGS})
  target_compile_definitions(${target} PUBLIC JSON_DIAGNOSTICS=0)
endfunction()

# fastchat_library(<folder> SOURCES a.cpp … LINKS targets…): the static library fastchat_<folder>.
# What it LINKS is what it may include: the arrows of docs/ARCHITECTURE.md.
function(fastchat_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_library(fastchat_${name} STATIC ${ARG_SOURCES})
  target_include_directories(fastchat_${name} PUBLIC "${CMAKE_SOURCE_DIR}/src")
  target_link_libraries(fastchat_${name} PUBLIC ${ARG_LINKS} Threads::Threads)
  fastchat_flags(fastchat_${name})
endfunction()

# fastchat_test(<name> SOURCES a.cpp … LINKS targets… [LABELS slow]): one test program, one ctest entry a case.
function(fastchat_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;LABELS" ${ARGN})
  add_executable(${name}_test ${ARG_SOURCES})
  target_include_directories(${name}_test PRIVATE "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${name}_test PRIVATE ${ARG_LINKS} GTest::gtest_main)
  target_compile_definitions(${name}_test PRIVATE
    FASTCHAT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  fastchat_flags(${name}_test)
  add_test(NAME ${name} COMMAND ${name}_test)
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}")
endfunction()

# fastchat_program(<test target> <NAME> <program target>): defines NAME as the path that starts the program, for tests
# that run it. A cross-built one is started by a script that calls the emulator.
function(fastchat_program test name program)
  set(path "$<TARGET_FILE:${program}>")
  if(CMAKE_CROSSCOMPILING_EMULATOR)
    list(JOIN CMAKE_CROSSCOMPILING_EMULATOR "' '" emulator)
    set(launcher "${CMAKE_CURRENT_BINARY_DIR}/emulated/${program}")
    file(GENERATE OUTPUT "${launcher}"
         CONTENT "#!/bin/sh\nexec '${emulator}' '${path}' \"$@\"\n"
         FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    set(path "${launcher}")
  endif()
  target_compile_definitions(${test} PRIVATE ${name}="${path}")
  add_dependencies(${test} ${program})
endfunction()
