# Cross compilation for ppc64le with Debian's gcc-powerpc64le-linux-gnu; programs run under qemu-user.
set(CMAKE_SYSTEM_PROCESSOR ppc64le)
set(HAK_EMULATOR qemu-ppc64le)
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
