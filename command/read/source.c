/* source.c - see source.h. A record is found by its note: each file that is mapped from its beginning has its ELF
 * header in memory, the header leads to the notes, and the note of the record to a pointer (src/insight/record.h).
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "read/source.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "grow.h"
#include "utf8.h"

struct segment {
    uint64_t start, size;
    uint64_t held, offset; /* bytes of it that are in the file, and where */
    bool is_executable;
};

/* A file that is mapped from its beginning: what ELF header lies at `start` is to be found out. */
struct head {
    uint64_t start;
    bool is_ours; /* by its name: it is looked at first */
};

enum {
    HEADERS_MOST = 128,      /* program headers of a file that are looked at */
    NOTES_MOST = 1 << 16,    /* bytes of notes */
    SEGMENTS_MOST = 1 << 20, /* of a core file: more than the mappings that a process may have */
    FILES_MOST = 1 << 24     /* bytes of a core file's list of mapped files */
};

char *text_make(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return text;
}

/* Whether a terminal might obey the character: controls, those of C1 too, and what turns the direction of writing, so
 * that a line shows something else than it says. */
static bool is_control(const unsigned char *text)
{
    if (text[0] < ' ' || text[0] == 0x7f)
        return true;
    if (text[0] == 0xc2) /* U+0080 to U+009F */
        return text[1] < 0xa0;
    if (text[0] != 0xe2)
        return false;
    return (text[1] == 0x80 && text[2] >= 0xaa && text[2] <= 0xae) || /* U+202A to U+202E */
           (text[1] == 0x81 && text[2] >= 0xa6 && text[2] <= 0xa9);   /* U+2066 to U+2069 */
}

void text_clean(char *text, size_t size)
{
    text[size - 1] = '\0';
    while (*text) {
        size_t length = utf8_length((unsigned char *)text);
        if (length == 0 || is_control((unsigned char *)text)) {
            length = length > 0 ? length : 1;
            memset(text, '?', length);
        }
        text += length;
    }
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static bool file_read(int fd, uint64_t offset, void *to, size_t size)
{
    if (offset > INT64_MAX || size > INT64_MAX - offset)
        return false;
    for (char *place = to; size > 0;) {
        ssize_t got = pread(fd, place, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        place += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

static int address_compare(const void *key, const void *element)
{
    const uint64_t address = *(const uint64_t *)key;
    const struct segment *segment = element;
    return address < segment->start ? -1 : address - segment->start >= segment->size;
}

static const struct segment *segment_at(const struct source *source, uint64_t address)
{
    const struct segment *segments = source->segments;
    return segments ? bsearch(&address, segments, source->segment_count, sizeof *segments, address_compare) : NULL;
}

/* What of the memory a core file holds, which may be in adjacent pieces. */
static bool core_read(const struct source *source, uint64_t address, void *to, size_t size)
{
    for (char *place = to; size > 0;) {
        const struct segment *segment = segment_at(source, address);
        if (!segment)
            return false;
        uint64_t into = address - segment->start, left = segment->held > into ? segment->held - into : 0;
        size_t part = size < left ? size : (size_t)left;
        if (part == 0 || !file_read(source->fd, segment->offset + into, place, part))
            return false;
        place += part;
        address += part;
        size -= part;
    }
    return true;
}

static bool memory_read(const struct source *source, uint64_t address, void *to, size_t size)
{
    return source->kind == SOURCE_CORE ? core_read(source, address, to, size)
                                       : file_read(source->fd, address, to, size);
}

bool source_read(const struct source *source, uint64_t offset, void *to, size_t size)
{
    if (offset > UINT64_MAX - source->origin)
        return false;
    return memory_read(source, source->origin + offset, to, size);
}

/* Whether the descriptor leads to the memory that the source is read from: what was opened by number is perhaps another
 * process by now. */
static bool is_same_memory(const struct source *source, int fd)
{
    struct record_header read, again;
    size_t size = offsetof(struct record_header, state);
    return source_read(source, 0, &read, size) && file_read(fd, source->origin, &again, size) &&
           read.magic == RECORD_MAGIC && memcmp(&read, &again, size) == 0;
}

int source_write(const struct source *source, uint64_t offset, const void *from, size_t size)
{
    char path[64];
    if (source->kind != SOURCE_PROCESS || offset > INT64_MAX - source->origin)
        return EINVAL;
    snprintf(path, sizeof path, "/proc/%d/mem", (int)source->process);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ESRCH : errno;
    ssize_t put = -1;
    int error = ESRCH;
    if (is_same_memory(source, fd)) {
        put = pwrite(fd, from, size, (off_t)(source->origin + offset));
        error = put == (ssize_t)size ? 0 : put < 0 ? errno : EFAULT;
    }
    close(fd);
    return error;
}

/* ---- Notes ------------------------------------------------------------------------------------------------------- */

/* Calls look(note, its contents' address) for each note at `address`, until one says true. */
typedef bool note_looker(void *context, const char *owner, uint32_t type, const char *contents, uint32_t size,
                         uint64_t address);

static bool notes_walk(const char *notes, size_t size, uint64_t address, uint64_t alignment, note_looker *look,
                       void *context)
{
    uint64_t align = alignment == 8 ? 8 : 4;
    for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= size;) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof note);
        uint64_t owner = at + sizeof note;
        uint64_t contents = (owner + note.n_namesz + align - 1) & ~(align - 1);
        uint64_t end = contents + note.n_descsz;
        if (end > size)
            return false;
        bool has_owner = note.n_namesz > 0 && notes[owner + note.n_namesz - 1] == '\0';
        if (has_owner && look(context, notes + owner, note.n_type, notes + contents, note.n_descsz, address + contents))
            return true;
        at = (end + align - 1) & ~(align - 1);
    }
    return false;
}

/* The program headers of the file that is mapped at `start`; how many, 0 when it is none of this machine's. */
static unsigned headers_read(const struct source *source, uint64_t start, Elf64_Phdr headers[static HEADERS_MOST])
{
    Elf64_Ehdr head;
    if (!memory_read(source, start, &head, sizeof head) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phentsize != sizeof headers[0])
        return 0;
    unsigned count = head.e_phnum < HEADERS_MOST ? head.e_phnum : HEADERS_MOST;
    if (head.e_phoff > UINT32_MAX || !memory_read(source, start + head.e_phoff, headers, count * sizeof headers[0]))
        return 0;
    return count;
}

/* How far the file was moved from the addresses in its headers. */
static uint64_t headers_bias(const Elf64_Phdr *headers, unsigned count, uint64_t start)
{
    for (unsigned i = 0; i < count; i++)
        if (headers[i].p_type == PT_LOAD && headers[i].p_offset == 0)
            return start - headers[i].p_vaddr;
    return start;
}

/* All notes of the file that is mapped at `start`, as notes_walk. */
static bool image_notes(const struct source *source, uint64_t start, note_looker *look, void *context)
{
    Elf64_Phdr headers[HEADERS_MOST];
    unsigned count = headers_read(source, start, headers);
    uint64_t bias = headers_bias(headers, count, start);
    bool found = false;
    for (unsigned i = 0; i < count && !found; i++) {
        if (headers[i].p_type != PT_NOTE || headers[i].p_filesz > NOTES_MOST)
            continue;
        uint64_t address = bias + headers[i].p_vaddr;
        char *notes = malloc(headers[i].p_filesz + 1);
        if (notes && memory_read(source, address, notes, headers[i].p_filesz))
            found = notes_walk(notes, headers[i].p_filesz, address, headers[i].p_align, look, context);
        free(notes);
    }
    return found;
}

/* What is known of notes of records, after looking at some files. */
struct record_search {
    const struct source *source;
    bool has_note;
    uint64_t record;
};

static bool record_note_look(void *context, const char *owner, uint32_t type, const char *contents, uint32_t size,
                             uint64_t address)
{
    struct record_search *search = context;
    int64_t distance;
    if (strcmp(owner, "hakmem") != 0 || type != RECORD_NOTE || size != sizeof distance)
        return false;
    search->has_note = true;
    memcpy(&distance, contents, sizeof distance);
    if (!memory_read(search->source, address + (uint64_t)distance, &search->record, sizeof search->record))
        search->record = 0;
    return search->record != 0;
}

static bool build_id_look(void *context, const char *owner, uint32_t type, const char *contents, uint32_t size,
                          uint64_t address)
{
    char *build_id = context;
    (void)address;
    if (strcmp(owner, "GNU") != 0 || type != NT_GNU_BUILD_ID || size == 0 || size > 23)
        return false;
    for (uint32_t i = 0; i < size; i++)
        snprintf(build_id + 2 * (size_t)i, 3, "%02x", (unsigned char)contents[i]);
    return true;
}

/* ---- Mappings ---------------------------------------------------------------------------------------------------- */

/* A line of /proc/PID/maps, or an entry of a core file's list. */
struct area {
    uint64_t start, end, offset;
    bool is_executable;
    const char *path;
};

/* What is gathered while areas are looked at. */
struct gathering {
    struct source *source;
    struct head *heads;
    size_t head_count;
    bool with_mappings; /* else only heads */
    bool is_out_of_memory;
};

static void head_add(struct gathering *g, const struct area *area)
{
    struct head *more = array_grow(g->heads, g->head_count, sizeof *more);
    if (!more) {
        g->is_out_of_memory = true;
        return;
    }
    const char *slash = strrchr(area->path, '/');
    g->heads = more;
    more[g->head_count++] = (struct head){area->start, strncmp(slash + 1, "libhakmem", 9) == 0};
}

/* From where the mapped file can be opened: by the process's own root directory, since it may have another; when it is
 * deleted, by the mapping, which takes root. */
static char *mapping_file(const struct source *source, const struct area *area, bool is_deleted)
{
    if (source->kind != SOURCE_PROCESS)
        return strdup(area->path);
    if (is_deleted)
        return text_make("/proc/%d/map_files/%llx-%llx", (int)source->process, (unsigned long long)area->start,
                         (unsigned long long)area->end);
    return text_make("/proc/%d/root%s", (int)source->process, area->path);
}

static bool mapping_push(struct source *source, const struct record_mapping *mapping)
{
    struct record_mapping *more = array_grow(source->mappings, source->mapping_count, sizeof *more);
    if (!more)
        return false;
    source->mappings = more;
    more[source->mapping_count++] = *mapping;
    return true;
}

static void mapping_add(struct gathering *g, const struct area *area, bool is_deleted, uint64_t head)
{
    char *path = strdup(area->path), *file = mapping_file(g->source, area, is_deleted);
    struct record_mapping mapping = {area->start, area->end, area->offset, path, file, ""};
    image_notes(g->source, head, build_id_look, mapping.build_id);
    if (path && file) {
        text_clean(path, strlen(path) + 1);
        if (mapping_push(g->source, &mapping))
            return;
    }
    g->is_out_of_memory = true;
    free(path);
    free(file);
}

/* *head is where the file is mapped from its beginning, which comes before its other areas. */
static void area_add(struct gathering *g, const struct area *area, bool is_deleted, uint64_t *head)
{
    if (area->offset == 0) {
        *head = area->start;
        head_add(g, area);
    }
    if (area->is_executable && g->with_mappings)
        mapping_add(g, area, is_deleted, *head);
}

static void mappings_free(struct record_mapping *mappings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((char *)mappings[i].path);
        free((char *)mappings[i].file);
    }
    free(mappings);
}

/* ---- A process --------------------------------------------------------------------------------------------------- */

/* /proc writes a line's end in a path as \012. */
static void path_unescape(char *path)
{
    for (char *place; (place = strstr(path, "\\012"));) {
        *place = '\n';
        memmove(place + 1, place + 4, strlen(place + 4) + 1);
    }
}

/* Takes apart a line of /proc/PID/maps; false when no file is mapped there. */
static bool area_parse(char *line, struct area *area, bool *is_deleted)
{
    static const char deleted[] = " (deleted)";
    unsigned long long start, end, offset;
    char rights[5];
    int path_at = 0;
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "%llx-%llx %4s %llx %*s %*s %n", &start, &end, rights, &offset, &path_at) != 4 || path_at == 0 ||
        line[path_at] != '/')
        return false;
    char *path = line + path_at;
    size_t length = strlen(path), tail = sizeof deleted - 1;
    *is_deleted = length > tail && strcmp(path + length - tail, deleted) == 0;
    if (*is_deleted)
        path[length - tail] = '\0';
    path_unescape(path);
    *area = (struct area){start, end, offset, rights[2] == 'x', path};
    return true;
}

static void process_areas(struct gathering *g, FILE *maps)
{
    char *line = NULL;
    size_t size = 0;
    uint64_t head = 0;
    while (getline(&line, &size, maps) > 0) {
        struct area area;
        bool is_deleted;
        if (area_parse(line, &area, &is_deleted))
            area_add(g, &area, is_deleted, &head);
    }
    free(line);
}

/* A number that a file of /proc begins with; -1 when there is none. */
static long number_read(const char *path)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    return got > 0 && isdigit((unsigned char)text[0]) ? atol(text) : -1;
}

static char *process_empty(pid_t process)
{
    return text_make("process %d has no memory: it has ended, or is the kernel's", (int)process);
}

/* What keeps us from reading the process's memory, and what would not. */
static char *process_refusal(struct source *source, int error)
{
    char path[64];
    struct stat info;
    pid_t process = source->process;
    snprintf(path, sizeof path, "/proc/%d", (int)process);
    if (stat(path, &info) != 0)
        return text_make("there is no process %d", (int)process);
    if (error == ENOENT || error == ESRCH)
        return process_empty(process);
    if (error != EACCES && error != EPERM)
        return text_make("process %d cannot be read: %s", (int)process, strerror(error));
    source->is_refused = true;
    if (info.st_uid != geteuid())
        return text_make(
            "process %d may not be read: it has the rights of another user (%u); root may, and who has CAP_SYS_PTRACE",
            (int)process, (unsigned)info.st_uid);
    if (number_read("/proc/sys/kernel/yama/ptrace_scope") > 0)
        return text_make(
            "process %d may not be read: kernel.yama.ptrace_scope is not 0; root may, and who has CAP_SYS_PTRACE",
            (int)process);
    return text_make("process %d may not be read: it has more rights than this one; who has CAP_SYS_PTRACE may",
                     (int)process);
}

uint32_t process_own_id(pid_t process)
{
    char path[64], *line = NULL;
    size_t size = 0;
    unsigned long id = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    FILE *status = fopen(path, "re");
    while (status && getline(&line, &size, status) > 0)
        if (strncmp(line, "NSpid:", 6) == 0)
            for (char *place = line + 6, *end; id = strtoul(place, &end, 10), end != place && *end != '\n';)
                place = end;
    free(line);
    if (status)
        fclose(status);
    return (uint32_t)id;
}

/* Whether the process sees itself as `own` (0: it does not say). A child that was forked and has not allocated yet has
 * its parent's record. */
static bool process_is(pid_t process, uint32_t own)
{
    uint32_t id = process_own_id(process);
    return id == 0 || own == 0 || id == own;
}

/* Looks for the record in the files that are mapped from their beginning. */
static char *record_find(struct source *source, const struct head *heads, size_t count, const char *what)
{
    struct record_search search = {.source = source};
    for (int ours = 1; ours >= 0; ours--)
        for (size_t i = 0; i < count; i++)
            if (heads[i].is_ours == (bool)ours && image_notes(source, heads[i].start, record_note_look, &search)) {
                source->origin = search.record;
                return NULL;
            }
    return search.has_note ? text_make("%s has recorded nothing yet: it has hardly allocated anything", what)
                           : text_make("%s does not run on hakmem, or on a version that keeps no record", what);
}

static char *process_search(struct source *source, FILE *maps, bool with_mappings)
{
    struct gathering g = {.source = source, .with_mappings = with_mappings};
    process_areas(&g, maps);
    char *what = text_make("process %d", (int)source->process);
    char *reason;
    if (g.is_out_of_memory || !what)
        reason = text_make("no memory");
    else if (g.head_count == 0)
        reason = process_empty(source->process);
    else
        reason = record_find(source, g.heads, g.head_count, what);
    uint32_t own;
    if (!reason && source_read(source, offsetof(struct record_header, process), &own, sizeof own) && own != 0 &&
        !process_is(source->process, own))
        reason = text_make("%s has recorded nothing yet since it was forked", what);
    free(what);
    free(g.heads);
    return reason;
}

static char *process_open(struct source *source, pid_t process, bool with_mappings)
{
    char path[64];
    source->kind = SOURCE_PROCESS;
    source->process = process;
    snprintf(path, sizeof path, "/proc/%d/mem", (int)process);
    source->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0)
        return process_refusal(source, errno);
    snprintf(path, sizeof path, "/proc/%d/maps", (int)process);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return process_refusal(source, errno);
    char *reason = process_search(source, maps, with_mappings);
    fclose(maps);
    return reason;
}

/* ---- A core file ------------------------------------------------------------------------------------------------- */

static int segment_compare(const void *a, const void *b)
{
    const struct segment *left = a, *right = b;
    return left->start < right->start ? -1 : left->start > right->start;
}

/* The notes and the memory that a core file holds. *notes is the header of the first notes, if p_filesz is not 0. */
static bool core_segments(struct source *source, const Elf64_Ehdr *head, Elf64_Phdr *notes)
{
    uint64_t count = head->e_phnum;
    Elf64_Shdr section;
    if (count == PN_XNUM) { /* then the first section says */
        if (!file_read(source->fd, head->e_shoff, &section, sizeof section))
            return false;
        count = section.sh_info;
    }
    if (count > SEGMENTS_MOST || head->e_phentsize != sizeof(Elf64_Phdr) || count * sizeof(Elf64_Phdr) > source->limit)
        return false;
    source->segments = calloc(count + 1, sizeof *source->segments);
    for (uint64_t i = 0; source->segments && i < count; i++) {
        Elf64_Phdr header;
        if (!file_read(source->fd, head->e_phoff + i * sizeof header, &header, sizeof header))
            return false;
        if (header.p_type == PT_NOTE && notes->p_filesz == 0)
            *notes = header;
        if (header.p_type == PT_LOAD && header.p_memsz <= UINT64_MAX - header.p_vaddr)
            source->segments[source->segment_count++] = (struct segment){
                header.p_vaddr, header.p_memsz, header.p_filesz < header.p_memsz ? header.p_filesz : header.p_memsz,
                header.p_offset, (header.p_flags & PF_X) != 0};
    }
    if (source->segments)
        qsort(source->segments, source->segment_count, sizeof *source->segments, segment_compare);
    return source->segments;
}

/* NT_FILE: a count, the size of a page, as often start, end and offset in such pages, then the paths. */
static bool files_look(void *context, const char *owner, uint32_t type, const char *contents, uint32_t size,
                       uint64_t address)
{
    struct gathering *g = context;
    uint64_t fixed[2], entry[3], head = 0;
    (void)address;
    if (strcmp(owner, "CORE") != 0 || type != NT_FILE || size < sizeof fixed || contents[size - 1] != '\0')
        return false;
    memcpy(fixed, contents, sizeof fixed);
    if (fixed[0] > (size - sizeof fixed) / sizeof entry)
        return false;
    const char *path = contents + sizeof fixed + fixed[0] * sizeof entry, *end = contents + size;
    for (uint64_t i = 0; i < fixed[0] && path < end; i++, path += strlen(path) + 1) {
        memcpy(entry, contents + sizeof fixed + i * sizeof entry, sizeof entry);
        const struct segment *segment = segment_at(g->source, entry[0]);
        struct area area = {entry[0], entry[1], entry[2] * fixed[1], !segment || segment->is_executable, path};
        if (path[0] == '/' && area.start < area.end)
            area_add(g, &area, false, &head);
    }
    return true;
}

/* The first thread's NT_SIGINFO, which is that of the signal that ended the process: siginfo_t. */
static bool signal_look(void *context, const char *owner, uint32_t type, const char *contents, uint32_t size,
                        uint64_t address)
{
    struct source *source = context;
    siginfo_t info;
    (void)address;
    if (strcmp(owner, "CORE") != 0 || type != NT_SIGINFO || size < sizeof info)
        return false;
    memcpy(&info, contents, sizeof info);
    source->has_fault = (info.si_signo == SIGSEGV || info.si_signo == SIGBUS) && info.si_code > 0;
    source->fault = (uint64_t)(uintptr_t)info.si_addr;
    return true;
}

static char *core_search(struct source *source, const Elf64_Phdr *header, const char *what)
{
    struct gathering g = {.source = source, .with_mappings = true};
    char *notes = header->p_filesz > 0 && header->p_filesz <= FILES_MOST ? malloc(header->p_filesz) : NULL;
    bool has_files = notes && file_read(source->fd, header->p_offset, notes, header->p_filesz) &&
                     notes_walk(notes, header->p_filesz, 0, header->p_align, files_look, &g);
    char *reason;
    if (has_files)
        notes_walk(notes, header->p_filesz, 0, header->p_align, signal_look, source);
    if (g.is_out_of_memory)
        reason = text_make("no memory");
    else if (!has_files)
        reason = text_make("the core file '%s' has no list of mapped files, or is damaged", what);
    else
        reason = record_find(source, g.heads, g.head_count, what);
    free(notes);
    free(g.heads);
    return reason;
}

static char *core_open(struct source *source, const Elf64_Ehdr *head, const char *what)
{
    Elf64_Phdr notes = {0};
    source->kind = SOURCE_CORE;
    if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_type != ET_CORE)
        return text_make("'%s' is neither a core file of this machine's kind nor a record", what);
    if (!core_segments(source, head, &notes))
        return text_make("the core file '%s' is damaged", what);
    char *reason = core_search(source, &notes, what);
    char first;
    if (!reason && !source_read(source, 0, &first, 1))
        reason = text_make(
            "the core file '%s' does not hold the record (if HAKMEM_RECORD was set, the file of that name does)", what);
    return reason;
}

/* ---- Any --------------------------------------------------------------------------------------------------------- */

/* Known by their first bytes: what people have beside a core file. */
static const struct magic {
    const char *name, *bytes, *command;
} compressions[] = {{"zstd", "\x28\xb5\x2f\xfd", "zstd -d"},
                    {"lz4", "\x04\x22\x4d\x18", "lz4 -d"},
                    {"xz", "\xfd\x37zX", "xz -d"},
                    {"gzip", "\x1f\x8b\x08", "gzip -d"}};
enum { COMPRESSIONS = sizeof compressions / sizeof compressions[0] };

static char *file_refusal(const char *what, const char *head)
{
    static const char profile[] = "{\"hakmem\":\"heap profile\"";
    if (strncmp(head, profile, sizeof profile - 1) == 0)
        return text_make("'%s' is a heap profile: only 'hakmem heap' reads it, by a name that ends in .json", what);
    for (size_t i = 0; i < COMPRESSIONS; i++)
        if (strncmp(head, compressions[i].bytes, strlen(compressions[i].bytes)) == 0)
            return text_make("'%s' is compressed: '%s' first", what, compressions[i].command);
    return text_make("'%s' is neither a core file of this machine's kind nor a record", what);
}

/* People give the names of programs, too. */
static char *path_refusal(const char *what, int error)
{
    if (error == ENOENT && !strchr(what, '/'))
        return text_make("there is no file '%s'; a process is given by its id", what);
    return text_make("cannot open '%s': %s", what, strerror(error));
}

static char *path_open(struct source *source, const char *what)
{
    struct stat info;
    union {
        Elf64_Ehdr elf;
        uint64_t magic;
        char text[64];
    } head = {.text = ""};
    source->fd = open(what, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (source->fd < 0)
        return path_refusal(what, errno);
    if (fstat(source->fd, &info) != 0 || !S_ISREG(info.st_mode))
        return text_make("'%s' is no regular file", what);
    source->limit = (uint64_t)info.st_size;
    if (source->limit < sizeof head || !file_read(source->fd, 0, &head, sizeof head))
        return text_make("'%s' is too short for a record", what);
    source->kind = SOURCE_FILE;
    if (head.magic == RECORD_MAGIC)
        return NULL;
    if (head.magic == __builtin_bswap64(RECORD_MAGIC))
        return text_make(
            "the record '%s' is of a machine with the other byte order: use the hakmem command of such a machine",
            what);
    return memcmp(head.text, ELFMAG, SELFMAG) == 0 ? core_open(source, &head.elf, what) : file_refusal(what, head.text);
}

bool source_open(struct source *source, const char *what, bool with_mappings, char **reason)
{
    size_t digits = strspn(what, "0123456789");
    *source = (struct source){.fd = -1};
    if (digits > 0 && digits < 10 && what[digits] == '\0')
        *reason = process_open(source, (pid_t)atol(what), with_mappings);
    else
        *reason = path_open(source, what);
    bool is_refused = source->is_refused;
    if (*reason)
        source_close(source);
    source->is_refused = is_refused;
    return !*reason;
}

void source_close(struct source *source)
{
    if (source->fd >= 0)
        close(source->fd);
    mappings_free(source->mappings, source->mapping_count);
    free(source->segments);
    *source = (struct source){.fd = -1};
}
