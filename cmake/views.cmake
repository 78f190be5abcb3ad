# What the command looks at processes with, for the command and for the tests: it reads records, names functions, and reads
# and writes profiles.
add_library(hakmem_views STATIC
    command/present.c command/tool.c
    command/read/areas.c command/read/cgroup.c command/read/growth.c command/read/processes.c command/read/record.c
    command/read/source.c
    command/names/elffile.c command/names/names.c command/names/perfmap.c command/names/rust.c command/names/symbols.c
    command/memory/bill.c command/memory/fault.c command/memory/owners.c command/memory/stats.c command/memory/top.c command/memory/trim.c
    command/memory/verdict.c command/memory/why.c
    command/profile/count.c command/profile/heap.c command/profile/json.c command/profile/leaks.c command/profile/profile.c
    command/profile/profile_json.c command/profile/profile_page.c command/profile/profile_pprof.c
    command/profile/profile_text.c command/profile/serve.c)
set_target_properties(hakmem_views PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(hakmem_views PUBLIC include src command ${PROJECT_BINARY_DIR}/tool)
target_link_libraries(hakmem_views PUBLIC hakmem_warnings ${CMAKE_DL_LIBS} m)

# hak_views_library(<name> <header> <package> <what it does without> <source>): links the library and compiles the source,
# or, where it is missing, SOURCE_none.c, which does without.
include(CheckIncludeFile)
function(hak_views_library name header package without source)
    string(TOUPPER ${name} id)
    find_library(HAK_LIBRARY_${id} ${name})
    check_include_file(${header} HAK_HEADER_${id})
    if(HAK_LIBRARY_${id} AND HAK_HEADER_${id})
        target_sources(hakmem_views PRIVATE command/${source}.c)
        target_link_libraries(hakmem_views PUBLIC ${HAK_LIBRARY_${id}})
    else()
        target_sources(hakmem_views PRIVATE command/${source}_none.c)
        message(STATUS "no lib${name}: the command ${without} (Debian's package is ${package})")
    endif()
endfunction()
hak_views_library(dw elfutils/libdwfl.h libdw-dev "names no functions" names/debuginfo)
if(HAK_LIBRARY_DW) # which comes with it, and opens core files
    target_link_libraries(hakmem_views PUBLIC elf)
endif()
hak_views_library(z zlib.h zlib1g-dev "does not compress profiles" profile/pack)
hak_views_library(jansson jansson.h libjansson-dev "reads no profiles" profile/profile_read)

# The page of a flame graph, as the bytes of an array in C: flame.html with its style and its script inside.
foreach(part IN ITEMS html css js)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS command/profile/flame.${part})
    file(READ command/profile/flame.${part} flame_${part})
endforeach()
string(REPLACE "/*STYLE*/" "${flame_css}" flame_html "${flame_html}")
string(REPLACE "/*SCRIPT*/" "${flame_js}" flame_html "${flame_html}")
string(HEX "${flame_html}" flame_bytes)
string(REGEX REPLACE "(..)" "0x\\1," flame_bytes "${flame_bytes}")
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/tool/flame_page.inc CONTENT "${flame_bytes}\n" @ONLY)
