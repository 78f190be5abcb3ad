/* secure_program.c - prints 1 when it has more rights than its caller, else 0, and allocates.
 * SPDX-License-Identifier: MIT */
#include "churn.h"

#include <stdio.h>
#include <sys/auxv.h>

int main(void)
{
    churn_run(1, 300000, 1000);
    printf("%d\n", getauxval(AT_SECURE) != 0);
    return 0;
}
