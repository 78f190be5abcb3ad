/* model_stress.c [seconds [seed]] - random programs for the machine of ops.h, one after the other. Prints the seed
 * of the program that it is at, so that a failure can be repeated: model_stress 1 SEED begins with it.
 * SPDX-License-Identifier: MIT */
#include "ops.h"
#include "stress.h"

#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments)
{
    enum { LENGTH = 40000 };
    static uint8_t program[LENGTH];
    double end = clock_seconds() + (count > 1 ? atof(arguments[1]) : 3);
    uint64_t seed = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
    setvbuf(stdout, NULL, _IONBF, 0);
    do {
        uint64_t random = seed * UINT64_C(0x9E3779B97F4A7C15);
        for (size_t i = 0; i < LENGTH; i++)
            program[i] = (uint8_t)random_next(&random);
        printf("seed %llu\n", (unsigned long long)seed++);
        ops_run(program, LENGTH);
    } while (clock_seconds() < end);
    return 0;
}
