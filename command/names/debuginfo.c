/* debuginfo.c - see debuginfo.h. Every file is a session of libdwfl's, with the one module at the addresses of its own
 * tables.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "names/debuginfo.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "names/elffile.h"
#include "names/names.h"

/* Where a unit of the source has code. */
struct unit_range {
    Dwarf_Addr low, high;
    Dwarf_Die unit;
};

struct debuginfo {
    Dwfl *session;
    Dwfl_Module *module;
    const char *root; /* of the process's files, or empty */
    char *search;     /* a list of no directories, for libdwfl */
    char id[BUILD_ID_SIZE];
    bool lacks_part;           /* what its debug information shares with others' is not found */
    Dwfl_Callbacks callbacks;  /* libdwfl goes on to use these */
    struct unit_range *ranges; /* of all units, sorted; only where the file's index lacks some */
    size_t range_count, range_capacity;
    bool has_ranges;
};

const char *debuginfo_obstacle(void) { return NULL; }

/* ---- Separate files ---------------------------------------------------------------------------------------------- */

/* What libdwfl looks for: debug information of the module. */
struct wanted {
    Dwfl_Module *module;
    void **context;
    const char *name, *link;
    Dwarf_Addr base;
    GElf_Word crc;
    char **found;
    int fd; /* where it is found, perhaps -1 none the less: then libdwfl has it already */
};

/* Whether the path is it: libdwfl opens and checks it, but would wait for a FIFO. So it gets what is open already, by
 * the name that this has in /proc. */
__attribute__((format(printf, 2, 3))) static bool wanted_try(struct wanted *wanted, const char *format, ...)
{
    char path[PATH_MAX], number[16];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    int file = length < (int)sizeof path ? elf_open(path) : -1;
    if (file < 0)
        return false;
    snprintf(number, sizeof number, "%d", file);
    errno = 0; /* which it reads without a call before, to know whether to go on */
    wanted->fd = dwfl_standard_find_debuginfo(wanted->module, wanted->context, wanted->name, wanted->base,
                                              "/proc/self/fd/.", number, wanted->crc, wanted->found);
    close(file);
    if (wanted->fd < 0 && !*wanted->found)
        return false;
    free(*wanted->found); /* which would be a name in /proc; next to this lies what the file itself refers to */
    *wanted->found = strdup(path);
    return true;
}

/* Below /usr/lib/debug: by the build id; by the whole path of the module's directory, or less of it. */
static bool debug_try(struct wanted *wanted, const char *id, const char *root, const char *directory)
{
    static const char debug[] = "/usr/lib/debug";
    if (strlen(id) > 2 && wanted_try(wanted, "%s%s/.build-id/%.2s/%s.debug", root, debug, id, id + 2))
        return true;
    if (!wanted->link)
        return false;
    for (; directory; directory = strchr(directory + 1, '/'))
        if (wanted_try(wanted, "%s%s%s/%s", root, debug, directory, wanted->link))
            return true;
    return wanted_try(wanted, "%s%s/%s", root, debug, wanted->link) ||
           wanted_try(wanted, "%s%s/.dwz/%s", root, debug, path_base(wanted->link));
}

static bool link_try(struct wanted *wanted, const char *root, const char *directory)
{
    const char *link = wanted->link;
    return link && ((link[0] == '/' && wanted_try(wanted, "%s%s", root, link)) ||
                    (directory && wanted_try(wanted, "%s/%s", directory, link)) ||
                    (directory && wanted_try(wanted, "%s/.debug/%s", directory, link)));
}

/* In the places where libdwfl would look, and in the same ones of the process's; a callback of libdwfl's. `file` is the
 * module, or what has debug information of it already and shares some by `link`. */
static int separate_find(Dwfl_Module *module, void **context, const char *name, Dwarf_Addr base, const char *file,
                         const char *link, GElf_Word crc, char **found)
{
    struct debuginfo *info = *context;
    struct wanted wanted = {module, context, name, link, base, crc, found, -1};
    char *directory = file && file[0] == '/' ? strndup(file, (size_t)(strrchr(file, '/') - file)) : NULL;
    bool is_found = link_try(&wanted, info->root, directory) || debug_try(&wanted, info->id, "", directory) ||
                    (info->root[0] != '\0' && debug_try(&wanted, info->id, info->root, directory));
    free(directory);
    if (is_found)
        return wanted.fd;
    /* What is left is to ask a debuginfod: beside this file there is none. */
    errno = 0;
    int fd = dwfl_standard_find_debuginfo(module, context, name, base, "/dev/null", NULL, 0, found);
    info->lacks_part = fd < 0 && !*found && link && crc == 0; /* for what is shared there is no CRC */
    return fd;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* A download may take a while: who waits at a terminal is told. */
static void downloads_show(void)
{
    if (isatty(STDERR_FILENO))
        setenv("DEBUGINFOD_PROGRESS", "1", 0);
}

struct debuginfo *debuginfo_open(int fd, const char *path, const char *root)
{
    struct debuginfo *info = calloc(1, sizeof *info);
    if (!info)
        return NULL;
    info->root = root;
    info->search = strdup("");
    elf_build_id(fd, info->id);
    downloads_show();
    info->callbacks = (Dwfl_Callbacks){.find_elf = dwfl_build_id_find_elf,
                                       .find_debuginfo = separate_find,
                                       .debuginfo_path = info->search ? &info->search : NULL};
    info->session = dwfl_begin(&info->callbacks);
    int own = info->session ? dup(fd) : -1; /* which libdwfl closes when it takes it */
    if (own >= 0)
        info->module = dwfl_report_elf(info->session, path, path, own, 0, true);
    if (!info->module) {
        if (own >= 0)
            close(own);
        debuginfo_close(info);
        return NULL;
    }
    void **context;
    dwfl_module_info(info->module, &context, NULL, NULL, NULL, NULL, NULL, NULL);
    *context = info;
    dwfl_report_end(info->session, NULL, NULL);
    return info;
}

void debuginfo_close(struct debuginfo *info)
{
    if (info->session)
        dwfl_end(info->session);
    free(info->ranges);
    free(info->search);
    free(info);
}

/* ---- Units ------------------------------------------------------------------------------------------------------- */

static void range_add(struct debuginfo *info, struct unit_range range)
{
    if (info->range_count == info->range_capacity) {
        size_t capacity = info->range_capacity * 2 + 256;
        struct unit_range *ranges = reallocarray(info->ranges, capacity, sizeof *ranges);
        if (!ranges)
            return;
        info->ranges = ranges;
        info->range_capacity = capacity;
    }
    info->ranges[info->range_count++] = range;
}

static int range_compare(const void *a, const void *b)
{
    const struct unit_range *one = a, *other = b;
    return one->low < other->low ? -1 : one->low > other->low;
}

static void ranges_read(struct debuginfo *info)
{
    Dwarf_Addr bias;
    for (Dwarf_Die *unit = NULL; (unit = dwfl_module_nextcu(info->module, unit, &bias));) {
        struct unit_range range = {.unit = *unit};
        Dwarf_Addr base;
        for (ptrdiff_t at = 0; (at = dwarf_ranges(unit, at, &base, &range.low, &range.high)) > 0;)
            range_add(info, range);
    }
    if (info->range_count > 1)
        qsort(info->ranges, info->range_count, sizeof *info->ranges, range_compare);
    info->has_ranges = true;
}

/* The last range that begins at or before the address. */
static struct unit_range *range_before(struct debuginfo *info, Dwarf_Addr address)
{
    size_t low = 0, high = info->range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (info->ranges[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &info->ranges[low - 1] : NULL;
}

/* The unit at the address, and in *bias what the address is ahead of those in the debug information; NULL: none. The
 * index (.debug_aranges) is not complete where compilers do not write it: clang, rustc. */
static Dwarf_Die *unit_find(struct debuginfo *info, Dwarf_Addr address, Dwarf_Addr *bias)
{
    if (!dwfl_module_getdwarf(info->module, bias) || info->lacks_part) /* libdw would look for that part by itself */
        return NULL;
    Dwarf_Die *unit = dwfl_module_addrdie(info->module, address, bias);
    if (unit)
        return unit;
    if (!info->has_ranges)
        ranges_read(info);
    struct unit_range *range = range_before(info, address - *bias);
    return range && address - *bias < range->high ? &range->unit : NULL;
}

/* ---- Functions of debug information ------------------------------------------------------------------------------ */

static bool is_function(Dwarf_Die *die)
{
    int tag = dwarf_tag(die);
    return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine || tag == DW_TAG_entry_point;
}

/* What a scope is called in the names of what lies in it; NULL when it is not. */
static const char *scope_name(Dwarf_Die *die)
{
    const char *name = dwarf_diename(die);
    switch (dwarf_tag(die)) {
    case DW_TAG_namespace:
        return name ? name : "(anonymous namespace)";
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
        return name ? name : "{lambda}"; /* of types without a name these have functions */
    case DW_TAG_enumeration_type:
    case DW_TAG_subprogram:
        return name;
    default:
        return NULL;
    }
}

/* Where the function was declared: what it lies in there has names. */
static Dwarf_Die *declaration(Dwarf_Die *function, Dwarf_Die *place)
{
    static const unsigned links[] = {DW_AT_abstract_origin, DW_AT_specification};
    *place = *function;
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        Dwarf_Attribute attribute;
        Dwarf_Die next;
        if (dwarf_attr(place, links[i], &attribute) && dwarf_formref_die(&attribute, &next))
            *place = next;
    }
    return place;
}

/* The function's name with those of what it lies in: "space::type::function". NULL when it has none. */
static char *name_qualified(Dwarf_Die *function)
{
    const char *own = dwarf_diename(function);
    char *name = own ? strdup(own) : NULL;
    Dwarf_Die place, *scopes = NULL;
    int count = name ? dwarf_getscopes_die(declaration(function, &place), &scopes) : 0;
    for (int i = 1; i < count; i++) {
        const char *outer = scope_name(&scopes[i]);
        char *longer;
        if (!outer || asprintf(&longer, "%s::%s", outer, name) < 0)
            continue;
        free(name);
        name = longer;
    }
    free(scopes);
    return name;
}

/* Names the symbol; false when the function has no name. */
static bool function_name(Dwarf_Die *function, struct symbol *symbol)
{
    Dwarf_Attribute attribute;
    const char *linkage = dwarf_formstring(dwarf_attr_integrate(function, DW_AT_linkage_name, &attribute));
    char *name = linkage ? name_readable(linkage) : NULL;
    if (!name || name_is_opaque(name)) {
        free(name);
        name = name_qualified(function);
    }
    symbol->function = name;
    symbol->linkage = linkage ? strdup(linkage) : NULL;
    return name;
}

static unsigned number_of(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    return dwarf_formudata(dwarf_attr(die, name, &attribute), &value) == 0 ? (unsigned)value : 0;
}

/* Where the inlined function was called, for the one that it is part of. */
static void call_place(Dwarf_Die *inlined, Dwarf_Die *unit, struct symbol *caller)
{
    Dwarf_Files *files;
    size_t count;
    unsigned file = number_of(inlined, DW_AT_call_file);
    caller->line = number_of(inlined, DW_AT_call_line);
    if (dwarf_getsrcfiles(unit, &files, &count) == 0 && file < count)
        caller->file = dwarf_filesrc(files, file, NULL, NULL);
}

/* The scopes at the address from the inside out, in the order of the machine code: inlined functions lie in their
 * callers. How many; to be freed. */
static int scopes_find(Dwarf_Die *unit, Dwarf_Addr address, Dwarf_Die **scopes)
{
    Dwarf_Die *found = NULL;
    *scopes = NULL;
    if (dwarf_getscopes(unit, address, &found) <= 0)
        return 0;
    Dwarf_Die innermost = found[0];
    free(found);
    int count = dwarf_getscopes_die(&innermost, scopes);
    return count > 0 ? count : 0;
}

static size_t functions_fill(Dwarf_Die *unit, Dwarf_Addr address, struct symbol *symbol, size_t max)
{
    Dwarf_Die *scopes;
    size_t count = 0;
    int scope_count = scopes_find(unit, address, &scopes);
    for (int i = 0; i < scope_count && count < max; i++) {
        if (!is_function(&scopes[i]) || !function_name(&scopes[i], &symbol[count]))
            continue;
        symbol[count].is_inlined = dwarf_tag(&scopes[i]) == DW_TAG_inlined_subroutine && count + 1 < max;
        if (!symbol[count++].is_inlined)
            break;
        call_place(&scopes[i], unit, &symbol[count]);
    }
    free(scopes);
    return count;
}

/* ---- What is asked ----------------------------------------------------------------------------------------------- */

static void line_fill(struct debuginfo *info, Dwarf_Die *unit, Dwarf_Addr bias, Dwarf_Addr address,
                      struct symbol *symbol)
{
    int line = 0;
    Dwfl_Line *found = dwfl_module_getsrc(info->module, address);
    if (found) {
        symbol->file = dwfl_lineinfo(found, NULL, &line, NULL, NULL, NULL);
    } else { /* libdwfl goes by the index, too */
        Dwarf_Line *own = dwarf_getsrc_die(unit, address - bias);
        symbol->file = own ? dwarf_linesrc(own, NULL, NULL) : NULL;
        if (own)
            dwarf_lineno(own, &line);
    }
    symbol->line = line > 0 ? (unsigned)line : 0;
}

/* The function that the table of symbols has at the address, if that lies within its size. */
static size_t table_find(struct debuginfo *info, Dwarf_Addr address, struct symbol *symbol)
{
    GElf_Sym entry;
    GElf_Off offset;
    const char *name = dwfl_module_addrinfo(info->module, address, &offset, &entry, NULL, NULL, NULL);
    unsigned type = name ? GELF_ST_TYPE(entry.st_info) : STT_NOTYPE;
    if ((type != STT_FUNC && type != STT_GNU_IFUNC) || offset >= entry.st_size)
        return 0;
    symbol->function = name_readable(name);
    symbol->linkage = strdup(name);
    return symbol->function ? 1 : 0;
}

size_t debuginfo_find(struct debuginfo *info, uint64_t address, struct symbol *symbol, size_t max)
{
    Dwarf_Addr bias;
    memset(symbol, 0, max * sizeof *symbol);
    Dwarf_Die *unit = unit_find(info, address, &bias);
    if (unit)
        line_fill(info, unit, bias, address, symbol);
    size_t count = unit ? functions_fill(unit, address - bias, symbol, max) : 0;
    return count > 0 ? count : table_find(info, address, symbol);
}

/* ---- Core files -------------------------------------------------------------------------------------------------- */

struct core_walk {
    uint64_t *out;
    size_t count, max;
};

static int core_frame(Dwfl_Frame *frame, void *context)
{
    struct core_walk *walk = context;
    Dwarf_Addr pc;
    bool is_exact; /* not that of a call's return */
    if (walk->count == walk->max || !dwfl_frame_pc(frame, &pc, &is_exact))
        return DWARF_CB_ABORT;
    walk->out[walk->count++] = is_exact ? pc + 1 : pc;
    return DWARF_CB_OK;
}

/* The first thread in a core file is the one that the signal came to. */
static int core_thread(Dwfl_Thread *thread, void *context)
{
    dwfl_thread_getframes(thread, core_frame, context);
    return DWARF_CB_ABORT;
}

static void core_walk(Elf *core, struct core_walk *walk)
{
    static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_build_id_find_elf,
                                             .find_debuginfo = dwfl_standard_find_debuginfo,
                                             .section_address = dwfl_offline_section_address};
    Dwfl *dwfl = dwfl_begin(&callbacks);
    if (dwfl && dwfl_core_file_report(dwfl, core, NULL) > 0 && dwfl_report_end(dwfl, NULL, NULL) == 0 &&
        dwfl_core_file_attach(dwfl, core) >= 0)
        dwfl_getthreads(dwfl, core_thread, walk);
    dwfl_end(dwfl);
}

size_t debuginfo_core_stack(const char *path, uint64_t *out, size_t max)
{
    struct core_walk walk = {.out = out, .max = max};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    Elf *core = fd >= 0 && elf_version(EV_CURRENT) != EV_NONE ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
    GElf_Ehdr head;
    if (core && gelf_getehdr(core, &head) && head.e_type == ET_CORE)
        core_walk(core, &walk);
    elf_end(core);
    if (fd >= 0)
        close(fd);
    return walk.count;
}
