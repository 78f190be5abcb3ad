# Cross compilation for s390x with Debian's gcc-s390x-linux-gnu; programs run under qemu-user.
set(CMAKE_SYSTEM_PROCESSOR s390x)
set(HAK_EMULATOR qemu-s390x)
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
