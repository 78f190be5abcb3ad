/* mallinfo.c - how long mallinfo2 takes. Programs that watch themselves call it every second; who counts block by
 * block, or holds a lock meanwhile, stops them for that time.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <dlfcn.h>
#include <stdlib.h>

enum { CALLS = 9, MEMORY_PERCENT = 60 };

static const struct series heaps = {{
    [SCALE_TINY] = {16 * MIB},
    [SCALE_MODEST] = {1 * GIB},
    [SCALE_FULL] = {1 * GIB, 3 * GIB, 6 * GIB},
}};

/* As <malloc.h> of glibc 2.33 declares it; older ones, and musl, do not. */
struct info {
    size_t fields[10];
};
typedef struct info info_function(void);

static unsigned mallinfo_cases(void) { return series_length(&heaps, options.max_bytes); }

/* Libc's own would look at a heap that is not in use. */
static info_function *info_find(void)
{
    Dl_info of_malloc, of_info;
    void *here = dlsym(RTLD_DEFAULT, "mallinfo2");
    if (here == NULL) {
        case_skip("there is no mallinfo2");
    } else if (dladdr(dlsym(RTLD_DEFAULT, "malloc"), &of_malloc) == 0 || dladdr(here, &of_info) == 0 ||
               of_malloc.dli_fbase != of_info.dli_fbase) {
        case_skip("mallinfo2 is not of the library that malloc is of");
        here = NULL;
    }
    return (info_function *)here;
}

static struct samples info_time(info_function *info)
{
    struct samples samples = samples_make(CALLS);
    info();
    for (unsigned i = 0; i < CALLS; i++) {
        uint64_t begin = clock_ns();
        info();
        samples_add(&samples, clock_since(begin));
    }
    return samples;
}

static void every_second_free(struct small *first)
{
    for (struct small *small = first; small != NULL && small->next != NULL; small = small->next) {
        struct small *second = small->next;
        small->next = second->next;
        free(second);
    }
}

static void mallinfo_run(unsigned number)
{
    char text[SIZE_TEXT];
    uint64_t heap = series_step(&heaps, options.max_bytes, number);
    case_name("%s", size_text(heap, text));
    info_function *info = info_find();
    if (info == NULL || !machine_allows(small_need(heap), small_need(heap), MEMORY_PERCENT))
        return;
    struct small *first = small_make(heap);
    struct samples used = info_time(info);
    every_second_free(first);
    struct samples freed = info_time(info);
    case_row((double[COLUMNS]){samples_median(&used), (double)used.worst, samples_median(&freed), (double)freed.worst});
}

const struct measurement heap_info = {
    .name = "mallinfo",
    .about = "mallinfo2, all blocks in use, then every second one freed",
    .label = "heap, blocks of 64 B",
    .uses = OPTION_MAX,
    .columns = {{"all", "used_median_ns", UNIT_TIME},
                {"worst", "used_worst_ns", UNIT_TIME},
                {"half", "half_median_ns", UNIT_TIME},
                {"worst", "half_worst_ns", UNIT_TIME}},
    .cases = mallinfo_cases,
    .run = mallinfo_run,
};
