#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/os_executable.h"

#include "system/os_call.h"
#include "system/os_map.h"
#include "system/os_process.h"

#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

/* Hexadecimal digits of as many bytes as have room. */
static void hex_put(char out[static OS_BUILD_ID_MAX], const unsigned char *bytes, size_t count)
{
    size_t length = 0;
    for (size_t i = 0; i < count && length + 2 < OS_BUILD_ID_MAX; i++) {
        out[length++] = "0123456789abcdef"[bytes[i] >> 4];
        out[length++] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[length] = 0;
}

COLD bool os_build_id_find(const char *notes, size_t size, char out[static OS_BUILD_ID_MAX])
{
    ElfW(Nhdr) head;
    while (size >= sizeof head) {
        __builtin_memcpy(&head, notes, sizeof head);
        size_t name = align_up((size_t)head.n_namesz, 4), content = head.n_descsz;
        size -= sizeof head;
        notes += sizeof head;
        if (name > size || content > size - name)
            return false;
        if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 && content > 0 &&
            __builtin_memcmp(notes, "GNU", 4) == 0) {
            hex_put(out, (const unsigned char *)notes + name, content);
            return true;
        }
        size_t step = min_size(name + align_up(content, 4), size);
        notes += step;
        size -= step;
    }
    return false;
}

COLD bool os_build_id_in_file(const char *file, size_t length, char out[static OS_BUILD_ID_MAX])
{
    ElfW(Ehdr) head;
    if (length < sizeof head)
        return false;
    __builtin_memcpy(&head, file, sizeof head);
    bool is_elf = __builtin_memcmp(head.e_ident, ELFMAG, SELFMAG) == 0 && head.e_phentsize == sizeof(ElfW(Phdr));
    for (unsigned i = 0; is_elf && i < head.e_phnum; i++) {
        ElfW(Phdr) segment;
        size_t at = head.e_phoff + i * sizeof segment;
        if (head.e_phoff > length || at > length - min_size(length, sizeof segment))
            return false;
        __builtin_memcpy(&segment, file + at, sizeof segment);
        bool is_here = segment.p_offset <= length && segment.p_filesz <= length - segment.p_offset;
        if (segment.p_type == PT_NOTE && is_here && os_build_id_find(file + segment.p_offset, segment.p_filesz, out))
            return true;
    }
    return false;
}

/* The executable as it lies in memory. */
struct executable {
    const ElfW(Phdr) *heads;
    size_t count;
    uintptr_t base; /* what has to be added to the addresses in its tables */
};

/* The part that is in memory and holds this address, of those in the tables; NULL: none. */
static const ElfW(Phdr) *executable_segment(const struct executable *executable, uintptr_t address)
{
    for (size_t i = 0; i < executable->count; i++) {
        const ElfW(Phdr) *head = &executable->heads[i];
        if (head->p_type == PT_LOAD && (head->p_flags & PF_R) && address >= head->p_vaddr &&
            address - head->p_vaddr < head->p_memsz)
            return head;
    }
    return NULL;
}

static struct executable executable_find(void)
{
    struct executable executable = {(const ElfW(Phdr) *)getauxval(AT_PHDR), getauxval(AT_PHNUM), 0};
    uintptr_t heads = (uintptr_t)executable.heads;
    if (!executable.heads)
        executable.count = 0;
    /* static-pie has no PT_PHDR, but begins with the file's first page, in which its tables are. */
    for (size_t i = 0; i < executable.count; i++)
        if (executable.heads[i].p_type == PT_LOAD && executable.heads[i].p_offset == 0)
            executable.base = (heads & ~(uintptr_t)(os_page_size() - 1)) - executable.heads[i].p_vaddr;
    for (size_t i = 0; i < executable.count; i++)
        if (executable.heads[i].p_type == PT_PHDR)
            executable.base = heads - executable.heads[i].p_vaddr;
    return executable;
}

/* Notes are looked at only as far as they are in memory: tools that strip them leave their entry in the tables. */
static bool executable_build_id(const struct executable *executable, char out[static OS_BUILD_ID_MAX])
{
    for (size_t i = 0; i < executable->count; i++) {
        const ElfW(Phdr) *notes = &executable->heads[i];
        const ElfW(Phdr) *in = notes->p_type == PT_NOTE ? executable_segment(executable, notes->p_vaddr) : NULL;
        if (!in)
            continue;
        size_t most = in->p_memsz - (notes->p_vaddr - in->p_vaddr);
        if (os_build_id_find((const char *)(executable->base + notes->p_vaddr), min_size(notes->p_memsz, most), out))
            return true;
    }
    return false;
}

COLD void os_build_id(char out[static OS_BUILD_ID_MAX])
{
    struct executable executable = executable_find();
    /* Tables that do not say where the program is, by where it begins to run, are not believed. */
    if (executable_segment(&executable, getauxval(AT_ENTRY) - executable.base) && executable_build_id(&executable, out))
        return;
    /* Linked without one: where its parts are and how large they are differs from one program to the next, mostly. */
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < executable.count * sizeof *executable.heads; i++)
        hash = (hash ^ ((const unsigned char *)executable.heads)[i]) * UINT64_C(0x100000001b3);
    hex_put(out, (const unsigned char *)&hash, sizeof hash);
}

/* Whether the file that runs is the loader, which was told by hand to run the program. */
static COLD bool is_run_by_loader(void)
{
    struct executable executable = executable_find();
    bool wants_loader = false;
    for (size_t i = 0; i < executable.count; i++)
        wants_loader |= executable.heads[i].p_type == PT_INTERP;
    return wants_loader && getauxval(AT_BASE) == 0;
}

bool os_has_loader(void) { return getauxval(AT_BASE) != 0 || is_run_by_loader(); }

COLD void os_executable(char *out, size_t capacity)
{
    static const char deleted[] = " (deleted)"; /* what the system adds when it was replaced while it runs */
    enum { DELETED = sizeof deleted - 1 };
    const char *started = os_program();
    long got = is_run_by_loader()
                   ? 0
                   : os_call(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)out, (long)capacity - 1, 0, 0);
    size_t length = os_error_of(got) ? 0 : (size_t)got;
    if (length > DELETED && __builtin_memcmp(out + length - DELETED, deleted, DELETED) == 0)
        length -= DELETED;
    for (; got <= 0 && started[length] && length < capacity - 1; length++)
        out[length] = started[length];
    out[length] = 0;
}
