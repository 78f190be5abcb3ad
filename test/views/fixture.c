/* fixture.c - see fixture.h.
 * SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

static const char names[] =
#define X(field, name, unit, doc) name ":" unit "\0"
#include "insight/stats.def"
#undef X
    "";

enum {
#define X(field, name, unit, doc) VALUE_##field,
#include "insight/stats.def"
#undef X
    VALUES
};

static void *piece_find(void *memory, uint32_t kind)
{
    const struct record_header *h = memory;
    for (unsigned i = 0; i < RECORD_PIECES; i++)
        if (h->piece[i].kind == kind)
            return (char *)memory + h->piece[i].offset;
    abort();
}

struct record_header *fixture_header(void *memory) { return memory; }
struct record_sample *fixture_samples(void *memory) { return piece_find(memory, RECORD_SAMPLES); }
struct record_allocated *fixture_allocated(void *memory) { return piece_find(memory, RECORD_ALLOCATED); }
struct record_stack *fixture_stacks(void *memory) { return piece_find(memory, RECORD_STACKS); }
uint64_t *fixture_frames(void *memory) { return piece_find(memory, RECORD_FRAMES); }
struct record_module *fixture_modules(void *memory) { return piece_find(memory, RECORD_MODULES); }
struct record_heap *fixture_heaps(void *memory) { return piece_find(memory, RECORD_HEAPS); }
struct record_guard *fixture_guards(void *memory) { return piece_find(memory, RECORD_GUARDS); }

void fixture_set(void *memory, const char *name, uint64_t value)
{
    struct record_header *h = memory;
    const char *place = names;
    for (unsigned i = 0; i < VALUES; i++, place += strlen(place) + 1)
        if (strncmp(place, name, strlen(name)) == 0 && place[strlen(name)] == ':') {
            h->value[i] = value;
            return;
        }
    fprintf(stderr, "no statistic '%s'\n", name);
    abort();
}

static void pieces_add(struct record_header *h)
{
    static const uint32_t sizes[] = {0,
                                     sizeof(struct record_sample),
                                     sizeof(struct record_stack),
                                     sizeof(uint64_t),
                                     sizeof(struct record_module),
                                     sizeof(struct record_heap),
                                     sizeof(struct record_guard)};
    static const uint32_t counts[] = {0, FIXTURE_SAMPLES, FIXTURE_STACKS, FIXTURE_FRAMES, FIXTURE_MODULES,
                                      FIXTURE_HEAPS, FIXTURE_GUARDS};
    uint64_t offset = (sizeof *h + 63) & ~UINT64_C(63);
    for (uint32_t kind = RECORD_SAMPLES; kind <= RECORD_GUARDS; kind++) {
        h->piece[kind - 1] = (struct record_piece){kind, counts[kind], offset};
        offset += sizes[kind] * counts[kind];
    }
    h->piece[RECORD_GUARDS] = (struct record_piece){RECORD_ALLOCATED, FIXTURE_STACKS, offset};
    offset += FIXTURE_STACKS * sizeof(struct record_allocated);
    if (offset > FIXTURE_SIZE)
        abort();
}

static void header_fill(struct record_header *h)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000;
    h->magic = RECORD_MAGIC;
    h->version = RECORD_VERSION;
    h->header_size = sizeof *h;
    h->size = FIXTURE_SIZE;
    h->process = (uint32_t)getpid();
    h->state = RECORD_RUNS;
    h->began_monotonic = ms > 60000 ? ms - 60000 : 1;
    h->began_wall = (uint64_t)time(NULL) * 1000 - 60000;
    h->interval = 512 << 10;
    strcpy(h->library, "0.1.0");
    strcpy(h->program, "/usr/bin/fixture");
    h->taken_at = ms;
    h->value_count = VALUES;
    memcpy(h->names, names, sizeof names);
    h->resident = 100 * MIB;
    h->peak = 90 * MIB;
    h->peak_at = ms - 1000;
    h->history_count = 2;
    h->history_step = 1000;
    h->history[0].at = h->began_monotonic;
    h->history[0].live = 10 * MIB;
    h->history[1].at = ms;
    h->history[1].live = 80 * MIB;
    pieces_add(h);
}

static void sample_fill(struct record_sample *sample, uint64_t block, uint64_t bytes, uint32_t stack, uint64_t born)
{
    sample->size = bytes;
    sample->bytes = bytes;
    sample->stack = stack;
    sample->born = born;
    sample->pinned = bytes + MIB;
    sample->thread = 7;
    sample->block = block;
}

static void stack_fill(struct record_stack *stack, uint64_t hash, uint32_t frames, uint32_t depth, uint64_t live)
{
    stack->frames = frames;
    stack->depth = depth;
    stack->live = live;
    stack->hash = hash;
}

/* A cell of 64 KiB, with a block that ends where its area does. */
static void guard_fill(struct record_guard *guard, uint64_t cell, uint64_t size, uint64_t born, uint64_t ended)
{
    guard->start = cell;
    guard->end = cell + (96 << 10);
    guard->size = size;
    guard->born = born;
    guard->ended = ended;
    guard->born_stack = 1;
    guard->ended_stack = ended ? 2 : 0;
    guard->born_thread = guard->ended_thread = 7;
    guard->block = cell + (64 << 10) - size;
}

void fixture_fill(void *memory)
{
    memset(memory, 0, FIXTURE_SIZE);
    struct record_header *h = memory;
    header_fill(h);
    struct record_sample *samples = fixture_samples(memory);
    sample_fill(&samples[3], 0x1000300000, 40 * MIB, 1, h->taken_at - 50000);
    sample_fill(&samples[5], 0x1000100000, 20 * MIB, 2, h->taken_at - 20000);
    sample_fill(&samples[9], 0x1000200000, 20 * MIB, 2, h->taken_at - 10000);
    stack_fill(&fixture_stacks(memory)[1], 11, 0, 2, 40 * MIB);
    stack_fill(&fixture_stacks(memory)[2], 12, 2, 3, 40 * MIB);
    guard_fill(&fixture_guards(memory)[0], FIXTURE_CELL, 112, h->taken_at - 9000, 0);
    guard_fill(&fixture_guards(memory)[1], FIXTURE_CELL + (64 << 10), 4096, h->taken_at - 9000, h->taken_at - 2000);
    uint64_t frames[] = {0x400100, 0x400200, 0x400110, 0x400200, 0x500300};
    memcpy(fixture_frames(memory), frames, sizeof frames);
    struct record_module *modules = fixture_modules(memory);
    modules[0] = (struct record_module){0x500000, 0x600000, 0x1000, "0123abcd", "/usr/lib/libfixture.so"};
    modules[1] = (struct record_module){0x400000, 0x500000, 0, "", "/usr/bin/fixture"};
    h->range[0].start = 0x1000000000;
    h->range[0].size = 128 * MIB;
    fixture_set(memory, "bytes.mapped", 128 * MIB);
    fixture_set(memory, "bytes.live", 80 * MIB);
    fixture_set(memory, "bytes.page_free", 8 * MIB);
    fixture_set(memory, "bytes.kept", 12 * MIB);
    fixture_set(memory, "bytes.free_dirty", 4 * MIB);
    fixture_set(memory, "bytes.free_clean", 36 * MIB);
}

/* ---- A core file ------------------------------------------------------------------------------------------------- */

enum { CORE_PAGE = 4096, IMAGE_AT = 0x400000, IMAGE_NOTE = 512, POINTER_AT = IMAGE_AT + CORE_PAGE };
#define RECORD_AT UINT64_C(0x7f0000000000)

/* A note; its bytes, padded. */
static size_t note_put(char *to, const char *owner, uint32_t type, const void *contents, uint32_t size)
{
    Elf64_Nhdr head = {.n_namesz = (Elf64_Word)strlen(owner) + 1, .n_descsz = size, .n_type = type};
    size_t begin = (sizeof head + head.n_namesz + 3) & ~(size_t)3;
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, owner, head.n_namesz);
    memcpy(to + begin, contents, size);
    return (begin + size + 3) & ~(size_t)3;
}

static void elf_put(char *to, uint16_t type, const Elf64_Phdr *headers, uint16_t count)
{
    Elf64_Ehdr head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
                       .e_type = type,
                       .e_phoff = sizeof head,
                       .e_phentsize = sizeof headers[0],
                       .e_phnum = count};
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, headers, count * sizeof headers[0]);
}

/* The first page of the file: its header, and the note, whose contents lie 20 bytes behind its beginning. */
static void image_put(char *page)
{
    const int64_t distance = POINTER_AT - (IMAGE_AT + IMAGE_NOTE + 20);
    const Elf64_Phdr headers[] = {
        {.p_type = PT_LOAD, .p_vaddr = 0, .p_filesz = CORE_PAGE, .p_memsz = CORE_PAGE},
        {.p_type = PT_NOTE, .p_vaddr = IMAGE_NOTE, .p_filesz = 28, .p_memsz = 28, .p_align = 4}};
    elf_put(page, ET_DYN, headers, 2);
    note_put(page + IMAGE_NOTE, "hakmem", RECORD_NOTE, &distance, sizeof distance);
}

/* NT_FILE: one file, mapped from its beginning. */
static size_t files_put(char *to)
{
    struct {
        uint64_t count, page, start, end, offset;
        char path[24];
    } files = {1, CORE_PAGE, IMAGE_AT, IMAGE_AT + CORE_PAGE, 0, "/usr/bin/fixture"};
    return note_put(to, "CORE", NT_FILE, &files, sizeof files);
}

size_t fixture_core(void *core, const void *memory)
{
    char *page = core, *note = page + 1024;
    const uint64_t record_at = RECORD_AT;
    memset(core, 0, FIXTURE_CORE);
    const Elf64_Phdr headers[] = {{.p_type = PT_NOTE, .p_offset = 1024, .p_filesz = files_put(note), .p_align = 4},
                                  {.p_type = PT_LOAD,
                                   .p_flags = PF_R | PF_X,
                                   .p_offset = CORE_PAGE,
                                   .p_vaddr = IMAGE_AT,
                                   .p_filesz = CORE_PAGE,
                                   .p_memsz = CORE_PAGE},
                                  {.p_type = PT_LOAD,
                                   .p_flags = PF_R | PF_W,
                                   .p_offset = (Elf64_Off)2 * CORE_PAGE,
                                   .p_vaddr = POINTER_AT,
                                   .p_filesz = CORE_PAGE,
                                   .p_memsz = CORE_PAGE},
                                  {.p_type = PT_LOAD,
                                   .p_flags = PF_R | PF_W,
                                   .p_offset = (Elf64_Off)3 * CORE_PAGE,
                                   .p_vaddr = RECORD_AT,
                                   .p_filesz = FIXTURE_SIZE,
                                   .p_memsz = FIXTURE_SIZE}};
    elf_put(page, ET_CORE, headers, 4);
    image_put(page + CORE_PAGE);
    memcpy(page + 2 * (size_t)CORE_PAGE, &record_at, sizeof record_at);
    memcpy(page + 3 * (size_t)CORE_PAGE, memory, FIXTURE_SIZE);
    return FIXTURE_CORE;
}

const char *fixture_file(const void *memory, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0)
        fd = memfd_create("fixture", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, memory, size, 0) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}
