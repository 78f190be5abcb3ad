/* symbols.c - see symbols.h. Files are opened when the first address in them is asked for, and answers are kept.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "names/symbols.h"

#include <inttypes.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "names/debuginfo.h"
#include "names/elffile.h"
#include "names/names.h"
#include "names/perfmap.h"
#include "read/source.h"

enum { INLINED = 32 }; /* most functions at one address */

/* A file that the process runs, as it was then. */
struct file {
    struct record_mapping mapping; /* by which it was found */
    bool has_looked;
    int fd;             /* -1: not there any more, or another one is */
    bool is_debug_only; /* the file that is open has its addresses, but not its contents */
    struct debuginfo *info;
};

/* An answer, and by what it is found. */
struct answer {
    uint64_t address;
    const struct file *file; /* NULL: the address is one of memory, else an offset in the file */
    struct symbols_place place;
};

struct symbols {
    pid_t process;
    time_t until;
    char root[32];
    struct file **files; /* of mappings, in their order; then those that were asked for by their names */
    size_t mapping_count, file_count;
    struct perfmap *made; /* code that the process has made; NULL: none is known */
    void *answers;        /* a tree of tsearch(3) */
};

/* ---- Files ------------------------------------------------------------------------------------------------------- */

struct symbols *symbols_new(pid_t process, time_t until)
{
    struct symbols *symbols = calloc(1, sizeof *symbols);
    if (!symbols)
        return NULL;
    symbols->process = process;
    symbols->until = until;
    if (process > 0)
        snprintf(symbols->root, sizeof symbols->root, "/proc/%d/root", (int)process);
    symbols->made = perfmap_open(process);
    return symbols;
}

static void file_free(struct file *file)
{
    if (file->info)
        debuginfo_close(file->info);
    if (file->fd >= 0)
        close(file->fd);
    free((char *)file->mapping.path);
    free((char *)file->mapping.file);
    free(file);
}

static void answer_free(void *answer)
{
    struct symbols_place *place = &((struct answer *)answer)->place;
    for (size_t i = 0; i < place->count; i++) {
        free((char *)place->symbol[i].function);
        free((char *)place->symbol[i].linkage);
    }
    free((struct symbol *)place->symbol);
    free(answer);
}

void symbols_free(struct symbols *symbols)
{
    tdestroy(symbols->answers, answer_free);
    for (size_t i = 0; i < symbols->file_count; i++)
        file_free(symbols->files[i]);
    perfmap_close(symbols->made);
    free(symbols->files);
    free(symbols);
}

/* NULL when memory is out. */
static struct file *file_add(struct symbols *symbols, const struct record_mapping *mapping)
{
    struct file **files = reallocarray(symbols->files, symbols->file_count + 1, sizeof *files);
    if (!files)
        return NULL;
    symbols->files = files;
    struct file *file = calloc(1, sizeof *file);
    if (!file)
        return NULL;
    *file = (struct file){.mapping = *mapping, .fd = -1};
    file->mapping.path = strdup(mapping->path);
    file->mapping.file = strdup(mapping->file);
    if (!file->mapping.path || !file->mapping.file) {
        file_free(file);
        return NULL;
    }
    files[symbols->file_count++] = file;
    return file;
}

void symbols_map(struct symbols *symbols, const struct record_mapping *mapping)
{
    if (file_add(symbols, mapping))
        symbols->mapping_count++;
}

const struct record_mapping *symbols_mapping(const struct symbols *symbols, size_t index)
{
    return index < symbols->mapping_count ? &symbols->files[index]->mapping : NULL;
}

/* Whether the open file is what was mapped. */
static bool is_the_same(const struct symbols *symbols, const struct file *file, int fd)
{
    char id[BUILD_ID_SIZE];
    struct stat info;
    elf_build_id(fd, id);
    if (file->mapping.build_id[0] != '\0')
        return strcmp(id, file->mapping.build_id) == 0;
    return symbols->until == 0 || id[0] != '\0' || (fstat(fd, &info) == 0 && info.st_mtime <= symbols->until);
}

/* Opens the path if it is the file, which has its debug information beside `name`. */
static bool file_try(const struct symbols *symbols, struct file *file, const char *path, const char *name)
{
    int fd = elf_open(path);
    if (fd < 0)
        return false;
    if (!is_the_same(symbols, file, fd)) {
        close(fd);
        return false;
    }
    file->fd = fd;
    file->info = debuginfo_open(fd, name, symbols->root);
    return true;
}

/* Through the mapping itself, which takes rights, but is what runs, whatever there is by its path. */
static bool mapped_try(const struct symbols *symbols, struct file *file)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)symbols->process, file->mapping.start,
             file->mapping.end);
    return symbols->process > 0 && file_try(symbols, file, path, file->mapping.file);
}

/* Where it is mapped; where it was; by the path as we see it, which it is where the process has only changed its root
 * directory; or what a package of debug information has of it, which has its symbols, too. */
static void file_open(const struct symbols *symbols, struct file *file)
{
    const struct record_mapping *mapping = &file->mapping;
    const char *id = mapping->build_id;
    char path[PATH_MAX];
    file->has_looked = true;
    if (mapped_try(symbols, file) || file_try(symbols, file, mapping->file, mapping->file) || strlen(id) <= 2 ||
        file_try(symbols, file, mapping->path, mapping->path))
        return;
    snprintf(path, sizeof path, "/usr/lib/debug/.build-id/%.2s/%s.debug", id, id + 2);
    file->is_debug_only = file_try(symbols, file, path, path);
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

/* Of a file without contents it is known how its code lies in memory only, not in the file. */
static bool link_address(const struct file *file, uint64_t offset, uint64_t *address)
{
    if (file->is_debug_only)
        return elf_code_address(file->fd, offset - file->mapping.offset, address);
    return elf_link_address(file->fd, offset, address);
}

/* What is at the byte of the file; the call before a place to go on at ends one byte earlier. */
static void place_fill(struct symbols *symbols, struct file *file, uint64_t offset, struct symbols_place *place)
{
    struct symbol found[INLINED] = {0};
    uint64_t address;
    size_t count = 0;
    if (!file->has_looked)
        file_open(symbols, file);
    place->mapping = &file->mapping;
    place->offset = offset;
    if (file->fd >= 0 && link_address(file, offset - 1, &address)) {
        place->offset = address + 1;
        count = file->info ? debuginfo_find(file->info, address, found, INLINED) : 0;
    }
    place->count = count > 0 ? count : 1;
    for (size_t i = 0; i < count; i++) /* a name is what somebody wrote into a file */
        text_clean((char *)found[i].function, strlen(found[i].function) + 1);
    struct symbol *copy = calloc(place->count, sizeof *copy);
    if (copy)
        memcpy(copy, found, place->count * sizeof *copy);
    place->symbol = copy;
}

/* What is known of code in no file. */
static void made_fill(const struct symbols *symbols, uint64_t address, struct symbols_place *place)
{
    const struct perfmap_function *function = symbols->made ? perfmap_find(symbols->made, address - 1) : NULL;
    struct symbol *symbol = calloc(1, sizeof *symbol);
    if (symbol && function)
        *symbol = (struct symbol){
            .function = strdup(function->name), .file = function->file, .line = function->line, .is_made = true};
    *place = (struct symbols_place){.offset = address, .count = 1, .symbol = symbol};
}

static int answer_compare(const void *a, const void *b)
{
    const struct answer *one = a, *other = b;
    if (one->file != other->file)
        return one->file < other->file ? -1 : 1;
    return one->address < other->address ? -1 : one->address > other->address;
}

/* The same for all that there is no memory to answer. */
static const struct symbols_place *place_unknown(uint64_t address)
{
    static const struct symbol none;
    static struct symbols_place place = {.count = 1, .symbol = &none};
    place.offset = address;
    return &place;
}

/* The answer to a question, from the tree, where it is looked for once: file and offset are what is asked if it is not
 * there. */
static const struct symbols_place *answer_get(struct symbols *symbols, struct answer question, struct file *file,
                                              uint64_t offset)
{
    struct answer **known = tfind(&question, &symbols->answers, answer_compare);
    if (known)
        return &(*known)->place;
    struct answer *answer = malloc(sizeof *answer);
    if (!answer)
        return place_unknown(question.address);
    *answer = question;
    if (file)
        place_fill(symbols, file, offset, &answer->place);
    else
        made_fill(symbols, question.address, &answer->place);
    if (answer->place.symbol && tsearch(answer, &symbols->answers, answer_compare))
        return &answer->place;
    answer->place.count = answer->place.symbol ? answer->place.count : 0;
    answer_free(answer);
    return place_unknown(question.address);
}

/* Whether what is mapped there is a file by name only. */
static bool is_memory(const struct file *file)
{
    return strncmp(file->mapping.path, "/memfd:", 7) == 0 || strncmp(file->mapping.path, "/dev/zero", 9) == 0;
}

const struct symbols_place *symbols_find(struct symbols *symbols, uint64_t address)
{
    for (size_t i = 0; i < symbols->mapping_count; i++) {
        struct file *file = symbols->files[i];
        uint64_t start = file->mapping.start;
        if (address > start && address <= file->mapping.end && !(symbols->made && is_memory(file)))
            return answer_get(symbols, (struct answer){.address = address}, file,
                              address - start + file->mapping.offset);
    }
    return answer_get(symbols, (struct answer){.address = address}, NULL, 0);
}

/* The file of that name, among those that were asked for by name. */
static struct file *file_named(struct symbols *symbols, const char *path)
{
    for (size_t i = symbols->mapping_count; i < symbols->file_count; i++)
        if (strcmp(symbols->files[i]->mapping.path, path) == 0)
            return symbols->files[i];
    return file_add(symbols, &(struct record_mapping){.end = UINT64_MAX, .path = path, .file = path});
}

const struct symbols_place *symbols_find_in_file(struct symbols *symbols, const char *path, uint64_t offset)
{
    struct file *file = file_named(symbols, path);
    return file ? answer_get(symbols, (struct answer){.address = offset, .file = file}, file, offset)
                : place_unknown(offset);
}

/* Node.js's own scripts for buffers pass on what they get. */
static bool is_buffers(const struct symbol *symbol)
{
    const char *file = symbol->is_made && symbol->file ? symbol->file : "";
    return strcmp(file, "node:buffer") == 0 || strcmp(file, "node:internal/buffer") == 0;
}

bool symbol_is_wrapper(const struct symbols *symbols, const struct symbol *symbol)
{
    const char *name = symbol->function;
    return name && (name_is_wrapper(name) || is_buffers(symbol) || (symbols->made && name_is_bridge(name)));
}

/* ---- Words ------------------------------------------------------------------------------------------------------- */

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void symbol_describe(char *text, size_t size, const struct symbols_place *place, const struct symbol *symbol)
{
    if (symbol->function)
        snprintf(text, size, "%s", symbol->function);
    else if (place->mapping)
        snprintf(text, size, "%s+0x%" PRIx64, path_base(place->mapping->path), place->offset);
    else
        snprintf(text, size, "0x%" PRIx64, place->offset);
}
