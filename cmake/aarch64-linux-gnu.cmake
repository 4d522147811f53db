# Cross build for aarch64 on Debian amd64: the compiler of g++-aarch64-linux-gnu, libraries of the arm64 packages
# beside those of this machine (multiarch; `./dev` installs both from one list), and qemu-user to run the result.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

# CMake looks below lib/aarch64-linux-gnu by itself; pkg-config has to be told.
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)

# Where `./dev` unpacks those that cannot be installed beside this machine's.
list(APPEND CMAKE_LIBRARY_PATH "${CMAKE_CURRENT_LIST_DIR}/../build/aarch64-packages/usr/lib/aarch64-linux-gnu")

# Tests run under it, also the program that tests start (fastchat_program in fastchat.cmake).
set(CMAKE_CROSSCOMPILING_EMULATOR "${CMAKE_CURRENT_LIST_DIR}/run-aarch64")
