/* ops.h - a small machine whose instructions are calls of the allocator. A program is a string of bytes; any string
 * is a program. A shadow of every block (size, alignment, contents) says what each call has to give; a difference
 * ends the process with a message and SIGABRT, which is what a fuzzer looks for.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_OPS_H
#define HAKMEM_TEST_OPS_H

#include <stddef.h>
#include <stdint.h>

/* Runs the program, frees what it leaves, and verifies the heap. Not from two threads at a time. */
void ops_run(const uint8_t *program, size_t length);

#endif
