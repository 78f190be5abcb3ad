# Tests of what the build makes, and of the sources as text. The tests of the allocator are in test/.

add_test(NAME product.layers COMMAND python3 ${PROJECT_SOURCE_DIR}/tools/check_layers.py ${PROJECT_SOURCE_DIR}/src)

# A 32-bit target ends with a sentence that says so, before anything is compiled. Nothing is linked, so its libc is not needed.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    add_test(NAME product.pointers COMMAND ${CMAKE_COMMAND} -S ${PROJECT_SOURCE_DIR} -B ${PROJECT_BINARY_DIR}/pointers
        -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER} -DCMAKE_C_FLAGS=-m32 -DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY)
    set_tests_properties(product.pointers PROPERTIES PASS_REGULAR_EXPRESSION "hakmem needs 64-bit addresses")
endif()

if(NOT HAK_SANITIZE)
    foreach(page IN ITEMS hakmem.1 hakmem.3 hakmem.conf.5)
        add_test(NAME product.${page} COMMAND mandoc -T lint -W warning ${PROJECT_BINARY_DIR}/man/${page})
    endforeach()

    # The single file, compiled as its own head says, into a program that has no other malloc.
    add_executable(single_file ${PROJECT_SOURCE_DIR}/bench/pair.c ${single}/hakmem.c)
    add_dependencies(single_file single-file)
    target_compile_options(single_file PRIVATE
        -O2 -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-builtin -fno-strict-aliasing -fexceptions)
    target_link_libraries(single_file PRIVATE hakmem_warnings)
    add_test(NAME product.single-file COMMAND single_file 64 64 1000)
    set_tests_properties(product.single-file PROPERTIES
        ENVIRONMENT HAKMEM_STATS=1 PASS_REGULAR_EXPRESSION "hakmem [0-9.]+")

    add_test(NAME product.command COMMAND python3 ${PROJECT_SOURCE_DIR}/test/product/command.py $<TARGET_FILE:hakmem-tool>)
    add_executable(cycles ${PROJECT_SOURCE_DIR}/test/product/cycles.c)
    target_compile_options(cycles PRIVATE -fno-builtin)
    target_link_libraries(cycles PRIVATE hakmem_warnings)
    add_executable(survivors ${PROJECT_SOURCE_DIR}/test/product/survivors.c)
    target_compile_options(survivors PRIVATE -fno-builtin)
    target_link_libraries(survivors PRIVATE hakmem_warnings)
    add_test(NAME product.learn COMMAND python3 ${PROJECT_SOURCE_DIR}/test/product/learn.py
        $<TARGET_FILE:hakmem-tool> $<TARGET_FILE:hakmem-workloads> $<TARGET_FILE:cycles>
        $<TARGET_FILE:survivors>)
    set_tests_properties(product.learn PROPERTIES ENVIRONMENT IS_DEBUG=$<CONFIG:Debug>)
    add_test(NAME product.package COMMAND python3 ${PROJECT_SOURCE_DIR}/test/product/package.py
        ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR} $<CONFIG> ${CMAKE_C_COMPILER})
endif()
get_property(tests DIRECTORY PROPERTY TESTS)
set_tests_properties(${tests} PROPERTIES LABELS product TIMEOUT 120)
