/* fuzz.h - what the fuzzing targets share.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_FUZZ_H
#define HAKMEM_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file with these bytes, by its path; the same one each time. */
const char *fuzz_file(const uint8_t *data, size_t size);

/* Ends the fuzzing with the condition's text. */
#define FUZZ_MUST(condition) ((condition) ? (void)0 : fuzz_fail(#condition, __FILE__, __LINE__))
void fuzz_fail(const char *condition, const char *file, int line) __attribute__((noreturn));

#endif
