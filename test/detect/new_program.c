/* new_program.c - calls operator new from C, without a C++ runtime, for more than there is.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <stdlib.h>

void *_Znwm(size_t size);
void _ZdlPv(void *block);

int main(void)
{
    void *block = _Znwm(100);
    must(block != NULL, "operator new(100) failed");
    _ZdlPv(block);
    return _Znwm(hidden_size(SIZE_MAX - 4096)) == NULL;
}
