#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_stack.h"

#include "system/image.h"
#include "system/machine.h"

#include <sys/auxv.h>

uintptr_t os_signal_return;
static uintptr_t main_stack_end, main_thread;

/* The kernel puts what it tells a program above the frames of main and of whatever called that. No wish for an address
 * leads so near below: the kernel keeps 128 MiB and more free for the stack to grow. */
void os_stack_start(void)
{
    main_stack_end = getauxval(AT_RANDOM);
    main_thread = machine_thread();
#if defined(MACHINE_RETURN)
    struct image kernel;
    if (image_open(&kernel, (const void *)getauxval(AT_SYSINFO_EHDR)))
        os_signal_return = (uintptr_t)image_find(&kernel, MACHINE_RETURN);
#endif
}

uintptr_t os_stack_end(uintptr_t sp)
{
    uintptr_t thread = machine_thread();
    if (main_stack_end - sp < OS_STACK_REACH)
        return main_stack_end;
    return thread != main_thread && thread - sp < OS_STACK_REACH ? thread : 0;
}
