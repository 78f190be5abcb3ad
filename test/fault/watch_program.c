/* watch_program.c - usage: watch_program code | references: a registration cache, as MPI, UCX, libfabric and CUDA have:
 * it keeps message buffers registered with a network card by their addresses, and puts code of its own over the start
 * of libc's munmap, madvise and mremap (or into all references to them) to hear what memory goes. Memory that has gone
 * without a word would be sent from where it was.
 * SPDX-License-Identifier: MIT */
#include "divert.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BUFFERS = 500, BUFFER_SIZE = 262144 };

static struct {
    uintptr_t start, end; /* whole pages of memory, all resident */
    bool was_told;
} g_registered[BUFFERS + 1];
static size_t g_count;

/* ---- The cache --------------------------------------------------------------------------------------------------- */

static void gone(void *address, size_t size)
{
    for (size_t i = 0; i < g_count; i++) {
        if (g_registered[i].start < (uintptr_t)address + size && (uintptr_t)address < g_registered[i].end) {
            g_registered[i].was_told = true;
        }
    }
}

static int told_munmap(void *address, size_t size)
{
    gone(address, size);
    return (int)syscall(SYS_munmap, address, size);
}

static int told_madvise(void *address, size_t size, int advice)
{
    if (advice == MADV_DONTNEED) {
        gone(address, size);
    }
    return (int)syscall(SYS_madvise, address, size, advice);
}

static void *told_mremap(void *address, size_t old_size, size_t new_size, int flags, void *target)
{
    gone(address, old_size);
    return (void *)syscall(SYS_mremap, address, old_size, new_size, flags, target);
}

static const struct {
    const char *name;
    void *function, *with;
} g_hooks[] = {{"munmap", (void *)munmap, (void *)told_munmap},
               {"madvise", (void *)madvise, (void *)told_madvise},
               {"mremap", (void *)mremap, (void *)told_mremap}};

static void writable(void *address, size_t size, int more)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)address & ~(page - 1);
    must(mprotect((void *)start, (uintptr_t)address + size - start, PROT_READ | PROT_WRITE | more) == 0,
         "mprotect: errno %d", errno);
}

static void write_code(void *function, void *with)
{
    unsigned char code[DIVERT_MAX];
    size_t size = divert_code(code, with);
    writable(function, size, PROT_EXEC);
    memcpy(function, code, size);
    __builtin___clear_cache((char *)function, (char *)function + size);
}

/* The references of one object in one table of relocations. */
static void write_table(const struct dl_phdr_info *object, const ElfW(Rela) * table, size_t size,
                        const ElfW(Sym) * symbols, const char *names)
{
    for (size_t i = 0; table != NULL && i < size / sizeof *table; i++) {
        const ElfW(Sym) *symbol = &symbols[ELF64_R_SYM(table[i].r_info)];
        for (size_t k = 0; k < COUNT_OF(g_hooks); k++) {
            if (symbol->st_shndx == SHN_UNDEF && strcmp(names + symbol->st_name, g_hooks[k].name) == 0) {
                void **slot = (void **)(object->dlpi_addr + table[i].r_offset);
                writable(slot, sizeof *slot, 0);
                *slot = g_hooks[k].with;
            }
        }
    }
}

static int write_references(struct dl_phdr_info *object, size_t size, void *unused)
{
    (void)size, (void)unused;
    uintptr_t tables[40] = {0};
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(object->dlpi_addr + segment->p_vaddr);
        for (; segment->p_type == PT_DYNAMIC && entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag < (ElfW(Sxword))COUNT_OF(tables)) {
                tables[entry->d_tag] = entry->d_un.d_ptr;
            }
        }
    }
    if (tables[DT_SYMTAB] < object->dlpi_addr) { /* the kernel's own: nothing was relocated in it */
        return 0;
    }
    write_table(object, (const void *)tables[DT_RELA], tables[DT_RELASZ], (const void *)tables[DT_SYMTAB],
                (const void *)tables[DT_STRTAB]);
    write_table(object, (const void *)tables[DT_JMPREL], tables[DT_PLTRELSZ], (const void *)tables[DT_SYMTAB],
                (const void *)tables[DT_STRTAB]);
    return 0;
}

/* ---- The work ---------------------------------------------------------------------------------------------------- */

static void register_buffer(char *block, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    memset(block, 1, size);
    g_registered[g_count].start = ((uintptr_t)block + page - 1) & ~(page - 1);
    g_registered[g_count].end = ((uintptr_t)block + size) & ~(page - 1);
    g_count++;
}

/* Whether every page of memory is still there (or swapped out). */
static bool is_there(int pagemap, uintptr_t start, uintptr_t end)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (; start < end; start += page) {
        uint64_t word = 0;
        must(pread(pagemap, &word, sizeof word, (off_t)(start / page * sizeof word)) == sizeof word,
             "pagemap: errno %d", errno);
        if (word >> 62 == 0) {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    static char *blocks[BUFFERS];
    must(argc == 2, "usage: watch_program code | references");
    if (strcmp(argv[1], "code") == 0) {
        for (size_t i = 0; i < COUNT_OF(g_hooks); i++) {
            write_code(g_hooks[i].function, g_hooks[i].with);
        }
    } else {
        dl_iterate_phdr(write_references, NULL);
    }
    for (size_t i = 0; i < BUFFERS; i++) {
        blocks[i] = malloc(BUFFER_SIZE);
        must(blocks[i] != NULL, "no memory");
        register_buffer(blocks[i], BUFFER_SIZE);
    }
    char *large = malloc(40 * MIB);
    register_buffer(large, 40 * MIB);
    large = realloc(large, 90 * MIB);
    for (size_t i = 0; i < BUFFERS; i++) {
        free(blocks[i]);
    }
    free(large);
    malloc_trim(0);
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    must(pagemap >= 0, "pagemap: errno %d", errno);
    size_t went = 0, untold = 0;
    for (size_t i = 0; i < g_count; i++) {
        bool there = is_there(pagemap, g_registered[i].start, g_registered[i].end);
        went += !there;
        untold += !there && !g_registered[i].was_told;
    }
    must(went > BUFFERS / 2, "only %zu of %zu buffers went: nothing was tested", went, g_count);
    must(untold == 0, "of %zu buffers that went, %zu without a word", went, untold);
    return 0;
}
