# What the toolchain files of Debian's cross compilers share. Each has the compiler's name (the triplet), and has said what the
# processor is and which program of qemu-user emulates it.
get_filename_component(triplet ${CMAKE_PARENT_LIST_FILE} NAME_WE)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${triplet}-gcc)
set(CMAKE_CXX_COMPILER ${triplet}-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR ${HAK_EMULATOR} -L /usr/${triplet})
# Libraries and headers of the machine that compiles are none of these.
set(CMAKE_FIND_ROOT_PATH /usr/${triplet})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
