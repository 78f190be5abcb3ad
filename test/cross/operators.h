/* operators.h - the operators that a program may replace, each with a number: OPERATOR_LIST(X) calls X(number, name).
 * The files replaced_<n> define one each, which counts its calls; operators_program.cpp shows the counts.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_OPERATORS_H
#define HAKMEM_TEST_OPERATORS_H

enum operator_number {
    NEW, NEW_ARRAY, NEW_NOTHROW, NEW_ARRAY_NOTHROW, NEW_ALIGNED, NEW_ARRAY_ALIGNED, NEW_ALIGNED_NOTHROW,
    NEW_ARRAY_ALIGNED_NOTHROW, DELETE, DELETE_ARRAY, DELETE_SIZED, DELETE_ARRAY_SIZED, DELETE_NOTHROW,
    DELETE_ARRAY_NOTHROW, DELETE_ALIGNED, DELETE_ARRAY_ALIGNED, DELETE_SIZED_ALIGNED, DELETE_ARRAY_SIZED_ALIGNED,
    OPERATORS
};

extern "C" int operator_calls[OPERATORS];

#endif
