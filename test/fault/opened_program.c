/* opened_program.c - usage: opened_program LIBRARY: hakmem comes by dlopen, for its native functions alone, so the
 * program's prctl is libc's, and hakmem is not told of the filter that the program installs.
 * SPDX-License-Identifier: MIT */
#include "filter.h"
#include "support.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <sys/syscall.h>

enum { BLOCKS = 400, SIZE = 70000 };

int main(int argc, char **argv)
{
    static const long others[] = {SYS_mincore, SYS_process_madvise, SYS_openat, SYS_pread64};
    static void *blocks[BLOCKS];
    must(argc == 2, "usage: opened_program LIBRARY");
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    must(library != NULL, "dlopen: %s", dlerror());
    void *(*take)(size_t) = (void *(*)(size_t))dlsym(library, "hak_malloc");
    void (*give)(void *) = (void (*)(void *))dlsym(library, "hak_free");
    void (*trim)(size_t) = (void (*)(size_t))dlsym(library, "hak_trim");
    for (unsigned round = 0; round < 4; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = take(SIZE);
            must(blocks[i] != NULL, "no memory");
            memset(blocks[i], 1, SIZE);
        }
        for (size_t half = 0; half < 2; half++) {
            for (size_t i = half; i < BLOCKS; i += 2) {
                give(blocks[i]);
            }
            trim(0);
        }
        if (round == 0) {
            filter_these(FILTER_BY_PRCTL, SECCOMP_RET_KILL_PROCESS, others, COUNT_OF(others));
        }
    }
    return 0;
}
