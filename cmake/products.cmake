# What is built to be used: the shared and the static library, the single file, the tool and the manual pages, and where
# `install` puts them. Included by CMakeLists.txt, which has read the table of symbols.

# ---- The library: one object, linked in two ways (the shared one has front.c, too) ---------------------------------------------------------------------

add_library(hakmem_object OBJECT src/all.c)
set_target_properties(hakmem_object PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_link_libraries(hakmem_object PRIVATE hakmem_codegen)

# Names without a version: a preloaded malloc has to match references to every version and to none.
set(exports ${PROJECT_BINARY_DIR}/exports.map)
set(exported ${symbols} ${shared_symbols})
list(JOIN exported ";\n    " symbol_lines)
file(CONFIGURE OUTPUT ${exports} CONTENT "{\nglobal:\n    ${symbol_lines};\nlocal:\n    *;\n};\n")

# libc's stand-in, for the linker alone.
hak_table_read(libc_functions src/front/libc.def X)
hak_table_read(libc_compilers src/front/libc.def C)
hak_table_read(libc_variables src/front/libc.def D)
set(libc_text "")
foreach(name IN LISTS libc_functions libc_compilers)
    string(APPEND libc_text "void ${name}(void) {}\n")
endforeach()
foreach(name IN LISTS libc_variables)
    string(APPEND libc_text "char **${name};\n")
endforeach()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/libc.c CONTENT "${libc_text}" @ONLY)
add_library(hakmem-libc SHARED ${PROJECT_BINARY_DIR}/libc.c)
set_target_properties(hakmem-libc PROPERTIES
    LINKER_LANGUAGE C NO_SONAME ON LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/libc)
target_compile_options(hakmem-libc PRIVATE -fno-builtin -w)
target_link_options(hakmem-libc PRIVATE -nostdlib -Wl,-soname,libc.so.6)

add_library(hakmem SHARED $<TARGET_OBJECTS:hakmem_object> src/front/front.c)
target_link_libraries(hakmem PRIVATE hakmem_codegen -lgcc $<TARGET_FILE:hakmem-libc>)
add_dependencies(hakmem hakmem-libc)
set_target_properties(hakmem PROPERTIES
    LINKER_LANGUAGE C SKIP_BUILD_RPATH ON VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${exports})
# noseparate-code: about four pages of memory fewer in every process. gc-sections: internal functions that are inlined
# wherever they are called, or that only tests call, are left out (-ffunction-sections).
target_link_options(hakmem PRIVATE
    -nodefaultlibs -Wl,--version-script=${exports} -Wl,-z,nodelete,-z,now,-z,relro,-z,defs,-z,noseparate-code -Wl,--as-needed,--gc-sections)
# Not every linker can: then the library takes a little more memory.
include(CheckIncludeFile)
include(CheckLinkerFlag)
set(rare ${CMAKE_CURRENT_LIST_DIR}/rare.ld)
set(start ${CMAKE_CURRENT_LIST_DIR}/start.ld)
check_linker_flag(C -Wl,-T,${start},-T,${rare} HAK_LINKER_ORDERS_FUNCTIONS)
if(HAK_LINKER_ORDERS_FUNCTIONS)
    target_link_options(hakmem PRIVATE -Wl,-T,${start},-T,${rare})
    set_property(TARGET hakmem APPEND PROPERTY LINK_DEPENDS ${start} ${rare})
endif()
# A linker that leaves out what a program does not call itself would leave malloc to libc; so it would below, in the
# archive, without the reference that -u makes.
target_link_options(hakmem INTERFACE -Wl,--no-as-needed)

# In the archive, names that the shared library hides must not clash with a program's own; but _.stapsdt.base is that of
# all objects with probes (insight/probe.c), weak, so that the first one is everybody's.
set(static_object ${PROJECT_BINARY_DIR}/hakmem.o)
set(static_names ${PROJECT_BINARY_DIR}/static_names)
list(JOIN symbols "\n" symbol_lines)
file(CONFIGURE OUTPUT ${static_names} CONTENT "${symbol_lines}\n_.stapsdt.base\n")
add_library(hakmem_archive_object OBJECT src/front/archive.c)
set_target_properties(hakmem_archive_object PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_link_libraries(hakmem_archive_object PRIVATE hakmem_codegen)
add_custom_command(OUTPUT ${static_object}
    COMMAND ${CMAKE_LINKER} -r -o ${static_object} $<TARGET_OBJECTS:hakmem_object> $<TARGET_OBJECTS:hakmem_archive_object>
    COMMAND ${CMAKE_OBJCOPY} --keep-global-symbols=${static_names} ${static_object}
    DEPENDS ${static_names} hakmem_object hakmem_archive_object
        $<TARGET_OBJECTS:hakmem_object> $<TARGET_OBJECTS:hakmem_archive_object>
    COMMENT "Hiding internal names in hakmem.o" VERBATIM)
add_library(hakmem-static STATIC ${static_object})
set_target_properties(hakmem-static PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME hakmem)
# Without the option a program with -static has no table of its call frames that can be searched (insight/cfi.h).
target_link_options(hakmem-static INTERFACE -Wl,-u,malloc -Wl,--eh-frame-hdr)

foreach(library IN ITEMS hakmem hakmem-static)
    add_library(hakmem::${library} ALIAS ${library})
    target_include_directories(${library} INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

# ---- The single file, for programs that compile the allocator in -----------------------------------------------------

set(single ${PROJECT_BINARY_DIR}/single-file)
add_custom_command(OUTPUT ${single}/hakmem.c
    COMMAND ${CMAKE_COMMAND} -E make_directory ${single}
    COMMAND python3 ${PROJECT_SOURCE_DIR}/tools/amalgamate.py --depfile ${single}/hakmem.c.d
        -I ${PROJECT_SOURCE_DIR}/include -I ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/src/all.c ${single}/hakmem.c
    DEPENDS ${PROJECT_SOURCE_DIR}/tools/amalgamate.py ${PROJECT_SOURCE_DIR}/LICENSE
    DEPFILE ${single}/hakmem.c.d COMMENT "Writing single-file/hakmem.c" VERBATIM)
add_custom_command(OUTPUT ${single}/hakmem.h
    COMMAND ${CMAKE_COMMAND} -E copy ${PROJECT_SOURCE_DIR}/include/hakmem.h ${single}/hakmem.h
    DEPENDS ${PROJECT_SOURCE_DIR}/include/hakmem.h VERBATIM)
add_custom_target(single-file DEPENDS ${single}/hakmem.c ${single}/hakmem.h)

# ---- The tool --------------------------------------------------------------------------------------------------------

add_executable(hakmem-tool command/hakmem.c command/last.c command/sites.c)
set_target_properties(hakmem-tool PROPERTIES OUTPUT_NAME hakmem)
target_include_directories(hakmem-tool PRIVATE include src)
target_link_libraries(hakmem-tool PRIVATE hakmem_warnings hakmem_views)
target_compile_definitions(hakmem-tool PRIVATE
    HAK_LIBRARY="$<TARGET_SONAME_FILE_NAME:hakmem>"
    HAK_LIBDIR="${CMAKE_INSTALL_FULL_LIBDIR}" HAK_MULTIARCH="${CMAKE_LIBRARY_ARCHITECTURE}"
    HAK_DATADIR="${CMAKE_INSTALL_FULL_DATADIR}" HAK_LIBEXECDIR="${CMAKE_INSTALL_FULL_LIBEXECDIR}")

# The bench lab, which `hakmem compare` and `hakmem bench` start: from beside the tool here, from share once installed.
# pair.py lies above it, as in the sources.
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/bench/lab ${PROJECT_BINARY_DIR}/lab SYMBOLIC)
install(DIRECTORY bench/lab DESTINATION ${CMAKE_INSTALL_DATADIR}/hakmem PATTERN __pycache__ EXCLUDE)
install(PROGRAMS bench/pair.py DESTINATION ${CMAKE_INSTALL_DATADIR}/hakmem)

# ---- The manual pages: their lists of symbols, options and messages come from the tables -----------------------------

hak_manual_lists()
foreach(page IN ITEMS hakmem.1 hakmem.3 hakmem.conf.5)
    configure_file(docs/man/${page}.in man/${page} @ONLY)
endforeach()

# ---- Installation ----------------------------------------------------------------------------------------------------

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/hakmem)
foreach(name IN ITEMS LIBDIR INCLUDEDIR)
    cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_${name} BASE_DIRECTORY "\${prefix}" OUTPUT_VARIABLE PC_${name})
endforeach()
configure_file(hakmem.pc.in hakmem.pc @ONLY)
configure_package_config_file(cmake/hakmemConfig.cmake.in hakmemConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(hakmemConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS hakmem hakmem-static hakmem-tool EXPORT hakmemTargets
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/hakmem.h include/hakmem.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_BINARY_DIR}/man/hakmem.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${PROJECT_BINARY_DIR}/man/hakmem.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
install(FILES ${PROJECT_BINARY_DIR}/man/hakmem.conf.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
install(FILES ${PROJECT_BINARY_DIR}/hakmem.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_BINARY_DIR}/hakmemConfig.cmake ${PROJECT_BINARY_DIR}/hakmemConfigVersion.cmake
    DESTINATION ${package_dir})
install(EXPORT hakmemTargets NAMESPACE hakmem:: DESTINATION ${package_dir})
