#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "system/image.h"

#include <link.h>

/* Whether the bytes lie in the image; `what` is not NULL then. */
static bool is_inside(const struct image *image, const void *what, size_t size)
{
    uintptr_t at = (uintptr_t)what;
    return at >= image->start && at <= image->end && size <= image->end - at;
}

/* From the segments: where it lies, and its dynamic section. */
static const ElfW(Dyn) *segments_read(struct image *image, const ElfW(Ehdr) *head)
{
    const ElfW(Phdr) *segment = (const ElfW(Phdr) *)((const char *)head + head->e_phoff);
    const ElfW(Dyn) *dynamic = NULL;
    bool any = false;
    image->start = image->end = (uintptr_t)head;
    for (unsigned i = 0; i < head->e_phnum; i++) {
        if (segment[i].p_type == PT_LOAD && !any)
            image->bias = (uintptr_t)head + segment[i].p_offset - segment[i].p_vaddr;
        any = any || segment[i].p_type == PT_LOAD;
        if (segment[i].p_type == PT_LOAD)
            image->end = max_size(image->end, image->bias + segment[i].p_vaddr + segment[i].p_memsz);
        if (segment[i].p_type == PT_DYNAMIC)
            dynamic = (const ElfW(Dyn) *)(image->bias + segment[i].p_vaddr);
    }
    return is_inside(image, dynamic, sizeof *dynamic) ? dynamic : NULL;
}

/* What an entry of the dynamic section points to, a multiple of `align`. Some loaders write the address itself into
 * it. */
static const void *pointed_to(const struct image *image, uintptr_t pointer, size_t align)
{
    const void *what = (const void *)(pointer >= image->start ? pointer : image->bias + pointer);
    return is_inside(image, what, 4 * sizeof(uint32_t)) && (uintptr_t)what % align == 0 ? what : NULL;
}

/* How many symbols there are: GNU's hash table ends with the last chain. */
static size_t gnu_count(const struct image *image, const uint32_t *table)
{
    uint32_t buckets = table[0], first = table[1], last = 0;
    const uint32_t *bucket = (const uint32_t *)((const ElfW(Addr) *)(table + 4) + table[2]);
    if (!is_inside(image, bucket, (size_t)buckets * sizeof *bucket))
        return 0;
    for (uint32_t i = 0; i < buckets; i++)
        last = bucket[i] > last ? bucket[i] : last;
    const uint32_t *chain = bucket + buckets;
    while (last >= first && is_inside(image, chain + (last - first), sizeof *chain) && !(chain[last - first] & 1))
        last++;
    return last < first ? first : last + 1;
}

/* The other kind of hash table has as many chains as there are symbols. */
static void dynamic_read(struct image *image, const ElfW(Dyn) *entry)
{
    const uint32_t *hash = NULL, *gnu_hash = NULL;
    for (; is_inside(image, entry, sizeof *entry) && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            image->symbols = pointed_to(image, entry->d_un.d_ptr, sizeof(void *));
        else if (entry->d_tag == DT_STRTAB)
            image->names = pointed_to(image, entry->d_un.d_ptr, 1);
        else if (entry->d_tag == DT_STRSZ)
            image->names_size = entry->d_un.d_val;
        else if (entry->d_tag == DT_HASH)
            hash = pointed_to(image, entry->d_un.d_ptr, sizeof(void *));
        else if (entry->d_tag == DT_GNU_HASH)
            gnu_hash = pointed_to(image, entry->d_un.d_ptr, sizeof(void *));
    }
    image->gnu_hash = gnu_hash;
    image->count = hash ? hash[1] : gnu_hash ? gnu_count(image, gnu_hash) : 0;
}

static bool is_image(const ElfW(Ehdr) *head)
{
    return head && __builtin_memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 && head->e_phentsize == sizeof(ElfW(Phdr));
}

bool image_open(struct image *image, const void *start)
{
    const ElfW(Ehdr) *head = start;
    *image = (struct image){.count = 0};
    if (!is_image(head))
        return false;
    const ElfW(Dyn) *dynamic = segments_read(image, head);
    if (!dynamic)
        return false;
    dynamic_read(image, dynamic);
    return image->symbols && image->names && is_inside(image, image->names, image->names_size) &&
           is_inside(image, image->symbols, image->count * sizeof(ElfW(Sym)));
}

bool image_find_frames(const void *start, struct image_frames *out)
{
    struct image image;
    const ElfW(Ehdr) *head = start;
    *out = (struct image_frames){0};
    if (!is_image(head))
        return false;
    segments_read(&image, head);
    out->start = image.start;
    out->end = image.end;
    const ElfW(Phdr) *segment = (const ElfW(Phdr) *)((const char *)head + head->e_phoff),
                     *end = segment + head->e_phnum;
    for (const ElfW(Phdr) *each = segment; each < end; each++)
        if (each->p_type == PT_GNU_EH_FRAME)
            out->header = (const uint8_t *)(image.bias + each->p_vaddr);
    for (const ElfW(Phdr) *each = segment; each < end; each++) {
        const uint8_t *first = (const uint8_t *)(image.bias + each->p_vaddr);
        if (each->p_type == PT_LOAD && out->header >= first && (size_t)(out->header - first) < each->p_filesz) {
            out->segment = first;
            out->segment_end = first + each->p_filesz;
        }
    }
    return out->header && out->segment;
}

/* The function's name, which ends within the names; NULL for other symbols. */
static const char *function_name(const struct image *image, const ElfW(Sym) *symbol)
{
    if (symbol->st_shndx == SHN_UNDEF || (symbol->st_info & 15) != STT_FUNC || symbol->st_name >= image->names_size)
        return NULL;
    const char *name = image->names + symbol->st_name;
    for (size_t i = symbol->st_name; i < image->names_size; i++)
        if (image->names[i] == '\0')
            return name;
    return NULL;
}

static bool is_same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* By GNU's hash table: of an executable that exports all it has (Haskell's), the names alone are tens of megabytes,
 * which a look at each would make resident. */
static const ElfW(Sym) *gnu_find(const struct image *image, const char *name)
{
    const uint32_t *table = image->gnu_hash, *bucket = (const uint32_t *)((const ElfW(Addr) *)(table + 4) + table[2]);
    uint32_t hash = 5381, first = table[1];
    for (const char *at = name; *at; at++)
        hash = hash * 33 + (uint8_t)*at;
    const uint32_t *chain = bucket + table[0], *head = bucket + hash % table[0];
    const ElfW(Sym) *symbols = image->symbols;
    if (!is_inside(image, head, sizeof *head) || *head < first)
        return NULL;
    for (size_t i = *head; i < image->count && is_inside(image, &chain[i - first], sizeof *chain); i++) {
        uint32_t other = chain[i - first];
        const char *its = ((other ^ hash) | 1) == 1 ? function_name(image, symbols + i) : NULL;
        if (its && is_same(its, name))
            return symbols + i;
        if (other & 1)
            break;
    }
    return NULL;
}

const void *image_find(const struct image *image, const char *name)
{
    if (image->gnu_hash && image->gnu_hash[0] != 0) {
        const ElfW(Sym) *found = gnu_find(image, name);
        return found ? (const void *)(image->bias + found->st_value) : NULL;
    }
    const ElfW(Sym) *symbol = image->symbols, *end = symbol + image->count;
    for (; symbol < end; symbol++) {
        const char *its = function_name(image, symbol);
        if (its && is_same(its, name))
            return (const void *)(image->bias + symbol->st_value);
    }
    return NULL;
}

const char *image_name_at(const struct image *image, uintptr_t address, size_t *offset)
{
    const ElfW(Sym) *symbol = image->symbols, *end = symbol + image->count;
    for (; symbol < end; symbol++) {
        uintptr_t start = image->bias + symbol->st_value;
        const char *name = address >= start && address - start < symbol->st_size ? function_name(image, symbol) : NULL;
        if (name) {
            *offset = address - start;
            return name;
        }
    }
    return NULL;
}
