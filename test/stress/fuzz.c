/* fuzz.c - the machine of ops.h as a target of libFuzzer:
 *   cmake -S . -B build/fuzz -DHAK_TESTS=ON -DHAK_FUZZ=ON -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++
 *   cmake --build build/fuzz --target fuzz_ops && build/fuzz/test/stress/fuzz_ops -max_len=4000 CORPUS
 * SPDX-License-Identifier: MIT */
#include "ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ops_run(data, size);
    return 0;
}
