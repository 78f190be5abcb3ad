/* rss.c - resident memory at the points of a run, and over time. Reads /proc with plain system calls into buffers of
 * its own: nothing here allocates.
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

enum { SAMPLES = 600, PHASES = 8 };

struct sample {
    double seconds;
    long long bytes;
};

struct phase {
    double seconds;
    const char *name;
};

static struct sample samples[SAMPLES];
static unsigned sample_count;
static struct phase phases[PHASES];
static unsigned phase_count;
static uint64_t first_ns, next_sample_ns;
static long long own_bytes; /* of the harness, always resident */

void rss_subtract(size_t bytes) { __atomic_fetch_add(&own_bytes, (long long)bytes, __ATOMIC_RELAXED); }

/* ---- What the system says ---------------------------------------------------------------------------------------- */

static void file_read(const char *path, char *buffer, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, buffer, size - 1);
    if (length <= 0)
        fail("a file below /proc/self could not be read");
    buffer[length] = '\0';
    close(file);
}

/* The bytes of a line such as "Rss:     1234 kB". */
static long long field_read(const char *path, const char *name)
{
    char text[4096];
    file_read(path, text, sizeof text);
    const char *line = strstr(text, name);
    return line == NULL ? 0 : strtoll(line + strlen(name), NULL, 10) * 1024;
}

/* The kernel adds up what each CPU counted, which is quick and off by up to some hundred KiB; see rss_note. */
long long rss_now(void)
{
    char text[128];
    char *resident;
    file_read("/proc/self/statm", text, sizeof text);
    strtoll(text, &resident, 10);
    return strtoll(resident, NULL, 10) * sysconf(_SC_PAGESIZE) - own_bytes;
}

/* Exact, by a walk of the page tables. */
void rss_note(enum rss_point point)
{
    if (point == RSS_PEAK) /* not ru_maxrss, which an exec takes over from the program before */
        run.rss[point] = field_read("/proc/self/status", "VmHWM:") - own_bytes;
    else if (point == RSS_LAZY)
        run.rss[point] = field_read("/proc/self/smaps_rollup", "LazyFree:");
    else
        run.rss[point] = field_read("/proc/self/smaps_rollup", "Rss:") - own_bytes;
}

/* ---- Over time --------------------------------------------------------------------------------------------------- */

static double seconds_since_start(uint64_t now)
{
    if (first_ns == 0)
        first_ns = now;
    return (double)(now - first_ns) * 1e-9;
}

/* About every 20 ms; less often in runs so long that there would be too many. */
static uint64_t sample_period(void)
{
    double length = run.warmup + run.seconds + run.idle + 10;
    return (uint64_t)(fmax(0.020, length / SAMPLES) * 1e9);
}

void rss_sample(void)
{
    uint64_t now = clock_ns();
    if (now < next_sample_ns || sample_count == SAMPLES || strcmp(run.variant->workload->kind, "memory") != 0)
        return;
    next_sample_ns = now + sample_period();
    samples[sample_count++] = (struct sample){.seconds = seconds_since_start(now), .bytes = rss_now()};
}

void phase_note(const char *name)
{
    if (phase_count < PHASES)
        phases[phase_count++] = (struct phase){.seconds = seconds_since_start(clock_ns()), .name = name};
}

void rss_sleep(double seconds)
{
    uint64_t end = clock_ns() + (uint64_t)(seconds * 1e9);
    for (uint64_t now = clock_ns(); now < end; now = clock_ns()) {
        rss_sample();
        if (run.idle_step)
            run.idle_step();
        sleep_ns(end - now < 5000000 ? end - now : 5000000);
    }
}

/* True when it belongs to the allocator that serves this process: libc's own would find an empty heap. */
static bool trim_is_here(void)
{
    Dl_info of_malloc, of_trim;
    return dladdr(dlsym(RTLD_DEFAULT, "malloc"), &of_malloc) != 0 &&
           dladdr(dlsym(RTLD_DEFAULT, "malloc_trim"), &of_trim) != 0 && of_malloc.dli_fbase == of_trim.dli_fbase;
}

void rss_settle(void)
{
    rss_note(RSS_FREED);
    phase_note("freed");
    rss_sleep(run.idle);
    rss_note(RSS_IDLE);
    rss_note(RSS_LAZY);
    phase_note("idle");
    if (trim_is_here()) {
        malloc_trim(0);
        rss_note(RSS_TRIMMED);
        phase_note("trimmed");
        rss_sleep(0.1);
    }
}

/* ---- Output ------------------------------------------------------------------------------------------------------ */

void rss_print_json(void)
{
    static const char *const names[] = {
#define X(id, name) #name,
        RSS_POINTS(X)
#undef X
    };
    const char *separator = "";
    printf(", \"rss\": {");
    for (unsigned i = 0; i < RSS_COUNT; i++)
        if (run.rss[i] >= 0) {
            printf("%s\"%s\": %lld", separator, names[i], run.rss[i]);
            separator = ", ";
        }
    printf("}, \"samples\": [");
    for (unsigned i = 0; i < sample_count; i++)
        printf("%s[%.3f, %lld]", i == 0 ? "" : ", ", samples[i].seconds, samples[i].bytes);
    printf("], \"phases\": [");
    for (unsigned i = 0; i < phase_count; i++)
        printf("%s[%.3f, \"%s\"]", i == 0 ? "" : ", ", phases[i].seconds, phases[i].name);
    printf("]");
}
