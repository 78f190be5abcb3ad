#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "replace.h"

#include "map.h"

#include <link.h>

bool replace_owns(const void *block) { return map_page(block) != NULL; }

#ifdef HAK_NO_OVERRIDE

bool replace_free(void *block) { return (void)block, false; }

#else

/* ---- Stubs ------------------------------------------------------------------------------------------------------- */

uint64_t replace_stubs[(REPLACE_COUNT + 63) / 64];

/* NULL where it is not in libc. */
#pragma weak dl_iterate_phdr

/* The tables by which the loader finds what an object defines. */
struct object {
    const ElfW(Sym) *symbols;
    const char *names;
    const uint32_t *gnu_hash;
    const uint32_t *hash;
};

/* Some loaders have added the object's base, others have not. */
static const void *table_at(const struct dl_phdr_info *info, const ElfW(Dyn) *entry)
{
    uintptr_t address = entry->d_un.d_ptr;
    return (const void *)(address < info->dlpi_addr ? info->dlpi_addr + address : address);
}

static void object_read(const struct dl_phdr_info *info, const ElfW(Dyn) *entry, struct object *object)
{
    for (; entry->d_tag != DT_NULL; entry++)
        switch (entry->d_tag) {
        case DT_SYMTAB: object->symbols = table_at(info, entry); break;
        case DT_STRTAB: object->names = table_at(info, entry); break;
        case DT_GNU_HASH: object->gnu_hash = table_at(info, entry); break;
        case DT_HASH: object->hash = table_at(info, entry); break;
        default: break;
        }
}

static bool is_definition(const struct object *object, uint32_t symbol, const char *name)
{
    const ElfW(Sym) *entry = &object->symbols[symbol];
    const char *other = object->names + entry->st_name;
    while (*name && *name == *other)
        name++, other++;
    return *name == *other && entry->st_shndx != SHN_UNDEF;
}

static bool gnu_hash_defines(const struct object *object, const char *name)
{
    const uint32_t *table = object->gnu_hash;
    uint32_t hash = 5381, buckets = table[0], first = table[1];
    for (const char *c = name; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    const uint32_t *bucket = table + 4 + table[2] * (sizeof(ElfW(Addr)) / sizeof *table), *chain = bucket + buckets;
    uint32_t symbol = bucket[hash % buckets];
    for (; symbol >= first; symbol++) {
        if ((chain[symbol - first] | 1) == (hash | 1) && is_definition(object, symbol, name))
            return true;
        if (chain[symbol - first] & 1)
            break;
    }
    return false;
}

static bool object_defines(const struct object *object, const char *name)
{
    if (!object->symbols || !object->names)
        return false;
    if (object->gnu_hash)
        return gnu_hash_defines(object, name);
    for (uint32_t symbol = 1; object->hash && symbol < object->hash[1]; symbol++)
        if (is_definition(object, symbol, name))
            return true;
    return false;
}

static bool has_address(const struct dl_phdr_info *info, const void *address)
{
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD &&
            (uintptr_t)address - info->dlpi_addr - info->dlpi_phdr[i].p_vaddr < info->dlpi_phdr[i].p_memsz)
            return true;
    return false;
}

struct search {
    const char *name;
    const void *process, *own;
    bool is_stub;
};

/* Ends at hakmem, or at the object before it whose function it is. */
static int search_object(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    struct search *search = argument;
    struct object object = {.symbols = NULL};
    if (has_address(info, search->own)) {
        search->is_stub = !has_address(info, search->process);
        return 1;
    }
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            object_read(info, (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), &object);
    return object_defines(&object, search->name);
}

static void stub_find(enum replace_name id, const char *name, const void *process, const void *own)
{
    struct search search = {.name = name, .process = process, .own = own, .is_stub = false};
    if (replace_differ(process, own) && dl_iterate_phdr)
        dl_iterate_phdr(search_object, &search);
    if (search.is_stub)
        replace_stubs[id / 64] |= (uint64_t)1 << id % 64;
}

void replace_find_stubs(void)
{
#define FIND(name) stub_find(REPLACE_##name, #name, (const void *)(uintptr_t)process_##name, hak_own_##name)
    FIND(malloc), FIND(free), FIND(calloc), FIND(realloc), FIND(reallocarray), FIND(aligned_alloc), FIND(memalign);
    FIND(posix_memalign), FIND(valloc), FIND(pvalloc), FIND(malloc_usable_size);
    FIND(_Znwm), FIND(_Znam), FIND(_ZnwmRKSt9nothrow_t), FIND(_ZnamRKSt9nothrow_t), FIND(_ZnwmSt11align_val_t);
    FIND(_ZnamSt11align_val_t), FIND(_ZdlPv), FIND(_ZdaPv), FIND(_ZdlPvm), FIND(_ZdaPvm), FIND(_ZdlPvSt11align_val_t);
    FIND(_ZdaPvSt11align_val_t);
#undef FIND
}

/* ---- Blocks of others -------------------------------------------------------------------------------------------- */

/* The program's function may pass on what it does not know, to the next in line: hakmem again. */
static __thread bool is_passing __attribute__((tls_model("initial-exec")));

bool replace_free(void *block)
{
    if (!is_replaced(free) || replace_owns(block) || is_passing)
        return false;
    is_passing = true;
    process_free(block);
    is_passing = false;
    return true;
}

bool replace_realloc(void *block, size_t size, void **out)
{
    if (!is_replaced(realloc) || is_passing)
        return false;
    is_passing = true;
    *out = process_realloc(block, size);
    is_passing = false;
    return true;
}

#endif
