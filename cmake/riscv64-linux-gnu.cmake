# Cross compilation for riscv64 with Debian's gcc-riscv64-linux-gnu; programs run under qemu-user.
set(CMAKE_SYSTEM_PROCESSOR riscv64)
set(HAK_EMULATOR qemu-riscv64)
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
