# cmake -P script: builds the crate in TARGET_DIR, which build trees share, and copies the library to OUTPUT.
# The lock covers the copy too: another tree may be building other sources into the same place.
file(MAKE_DIRECTORY "${TARGET_DIR}")
file(LOCK "${TARGET_DIR}" DIRECTORY GUARD PROCESS TIMEOUT 3600)

set(target_args)
if(RUST_TARGET)
  set(target_args --target "${RUST_TARGET}")
endif()
execute_process(
  COMMAND "${CARGO}" build --release --locked --target-dir "${TARGET_DIR}" ${target_args}
  WORKING_DIRECTORY "${CRATE}"
  RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "cargo could not build ${CRATE}")
endif()
file(COPY_FILE "${TARGET_DIR}/${RUST_TARGET}/release/libfastchat_text.a" "${OUTPUT}")
file(TOUCH "${OUTPUT}")
