/* holder.c - a process that "holds memory" by ways through it that are known, and the record of it, as a library
 * would write it: holder FILE. What the samples stand for is made up; the stacks, and where this program and libc
 * lie, are the real ones. It ends at once, so that its record is of a process that is gone; with a second argument
 * it says a word when it is ready and waits until it is killed.
 * SPDX-License-Identifier: MIT */
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

#define MIB (UINT64_C(1) << 20)

/* A name before all functions here that has no size, as assemblers leave it: nothing is known to belong to it. */
__asm__(".pushsection .text\n"
        ".globl holder_label\n"
        ".type holder_label, @function\n"
        "holder_label:\n"
        "nop\n"
        ".popsection\n");

static void *memory;
static unsigned samples, stacks = 1, frames;

/* ---- What is held ------------------------------------------------------------------------------------------------ */

/* What is sampled at a place. */
struct held {
    uint64_t bytes, age; /* of a live block; milliseconds */
    uint64_t ended, life; /* bytes of freed ones, and how many milliseconds they lived */
    uint32_t thread;
};

/* The record's number of the stack; its frames are added when it is new. */
static unsigned stack_number(void **address, unsigned depth)
{
    uint64_t hash = 1;
    for (unsigned i = 0; i < depth; i++)
        hash = hash * 31 + (uint64_t)address[i];
    for (unsigned number = 1; number < stacks; number++)
        if (fixture_stacks(memory)[number].hash == hash)
            return number;
    fixture_stacks(memory)[stacks] = (struct record_stack){.hash = hash, .frames = frames, .depth = depth};
    for (unsigned i = 0; i < depth; i++)
        fixture_frames(memory)[frames++] = (uint64_t)address[i];
    return stacks++;
}

/* In the place of an allocation; whoever called this is the innermost of the stack. */
__attribute__((noinline)) static void sample_add(struct held held)
{
    void *address[RECORD_DEPTH];
    int depth = backtrace(address, RECORD_DEPTH);
    unsigned number = stack_number(address + 1, (unsigned)depth - 1);
    struct record_stack *stack = &fixture_stacks(memory)[number];
    stack->live += held.bytes;
    stack->at_peak += 2 * held.bytes;
    stack->ended += held.ended;
    stack->life += held.ended / MIB * held.life;
    struct record_sample *sample = &fixture_samples(memory)[samples++];
    *sample = (struct record_sample){.block = 0x1000000000 + samples * 64, .size = 64, .bytes = held.bytes,
                                     .born = fixture_header(memory)->taken_at - held.age,
                                     .pinned = held.bytes + held.bytes / 4, .stack = number, .thread = held.thread};
}

static inline __attribute__((always_inline)) void buffer_make(struct held held)
{
    sample_add(held);
    __asm__ volatile("");
}

/* An allocation wrapper by its name. */
__attribute__((noinline)) static void xmalloc(struct held held)
{
    sample_add(held);
    __asm__ volatile("");
}

/* Never ends: a leak. */
__attribute__((noinline)) static void session_make(void)
{
    for (unsigned i = 0; i < 20; i++)
        xmalloc((struct held){2 * MIB, i * 3000, 0, 0, i % 2 ? 11 : 12});
    __asm__ volatile("");
}

/* Ends nearly always, at once, and one in some never: a leak. */
__attribute__((noinline)) static void request_make(void)
{
    for (unsigned i = 0; i < 12; i++)
        xmalloc((struct held){MIB, i * 5000, 10 * MIB, 100, 12});
    __asm__ volatile("");
}

/* Lives long, and ends: no leak. */
__attribute__((noinline)) static void entry_make(void)
{
    for (unsigned i = 0; i < 12; i++)
        xmalloc((struct held){MIB, i * 5000, 4 * MIB, 40000, 12});
    __asm__ volatile("");
}

/* Is new: no leak yet. */
__attribute__((noinline)) static void burst_make(void)
{
    for (unsigned i = 0; i < 10; i++)
        xmalloc((struct held){MIB, i * 1000, 0, 0, 11});
    __asm__ volatile("");
}

/* Was made at the beginning: no leak. */
__attribute__((noinline)) static void table_fill(void)
{
    for (unsigned i = 0; i < 10; i++)
        buffer_make((struct held){3 * MIB, 59000 - i, 0, 0, 11});
    __asm__ volatile("");
}

/* ---- Where it lies ----------------------------------------------------------------------------------------------- */

static unsigned modules;

static void build_id_fill(const struct dl_phdr_info *info, const ElfW(Phdr) * segment, char id[static 48])
{
    const char *note = (const char *)(info->dlpi_addr + segment->p_vaddr), *end = note + segment->p_memsz;
    while (note + sizeof(ElfW(Nhdr)) < end) {
        const ElfW(Nhdr) *head = (const void *)note;
        const unsigned char *contents = (const unsigned char *)note + sizeof *head + ((head->n_namesz + 3) & ~3U);
        for (unsigned i = 0; head->n_type == NT_GNU_BUILD_ID && i < head->n_descsz && i < 20; i++)
            sprintf(id + 2 * (size_t)i, "%02x", contents[i]);
        note = (const char *)contents + ((head->n_descsz + 3) & ~3U);
    }
}

/* The program and libc, which come before the loader. */
static int module_add(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    struct record_module module = {0};
    const char *path = info->dlpi_name[0] != '\0' ? info->dlpi_name : realpath("/proc/self/exe", NULL);
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uint64_t start = (info->dlpi_addr + segment->p_vaddr) & ~UINT64_C(4095);
        if (segment->p_type == PT_NOTE && segment->p_align == 4)
            build_id_fill(info, segment, module.build_id);
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
            continue;
        module.start = start;
        module.end = (info->dlpi_addr + segment->p_vaddr + segment->p_memsz + 4095) & ~UINT64_C(4095);
        module.offset = segment->p_offset & ~UINT64_C(4095);
    }
    if (strncmp(path, "linux-vdso", 10) == 0 || modules == FIXTURE_MODULES)
        return 0;
    snprintf(module.path, sizeof module.path, "%s", path);
    fixture_modules(memory)[modules++] = module;
    return 0;
}

/* ---- The record -------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    int fd = argc > 1 ? open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || ftruncate(fd, FIXTURE_SIZE) != 0)
        return 3;
    memory = mmap(NULL, FIXTURE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return 3;
    fixture_fill(memory);
    memset(fixture_samples(memory), 0, FIXTURE_SAMPLES * sizeof(struct record_sample));
    memset(fixture_stacks(memory), 0, FIXTURE_STACKS * sizeof(struct record_stack));
    memset(fixture_modules(memory), 0, FIXTURE_MODULES * sizeof(struct record_module));
    snprintf(fixture_header(memory)->program, sizeof fixture_header(memory)->program, "/usr/bin/holder");
    dl_iterate_phdr(module_add, NULL);
    session_make();
    request_make();
    entry_make();
    burst_make();
    table_fill();
    if (argc > 2)
        puts("ready");
    fflush(stdout);
    while (argc > 2)
        pause();
    return 0;
}
