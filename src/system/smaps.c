#include "system/smaps.h"

#include "system/conf.h"
#include "system/lines.h"
#include "system/os_file.h"
#include "system/os_look.h"

/* The bytes of a line such as "Rss:   12 kB" that begins with `head`; false when it does not. */
static COLD bool line_bytes(const char *line, const char *head, size_t *out)
{
    if (!piece_begins(piece_of(line), head))
        return false;
    size_t number = 0;
    for (; *line; line++)
        if (*line >= '0' && *line <= '9')
            number = number * 10 + (size_t)(*line - '0');
    *out = number << 10;
    return true;
}

/* ---- Areas ------------------------------------------------------------------------------------------------------- */

/* By what the kernel writes behind an area. */
static COLD enum smaps_kind name_kind(const char *name)
{
    static const char *const shared[] = {"/dev/zero", "/SYSV", "/memfd:", "/dev/shm/", "[anon_shmem"};
    if (piece_begins(piece_of(name), "[stack"))
        return SMAPS_STACK;
    for (unsigned i = 0; i < sizeof shared / sizeof shared[0]; i++)
        if (piece_begins(piece_of(name), shared[i]))
            return SMAPS_SHARED;
    /* [vdso], [vvar], [vsyscall]. */
    return name[0] == '/' || piece_begins(piece_of(name), "[v") ? SMAPS_FILE : SMAPS_ANONYMOUS;
}

/* A line "start-end rights offset device inode   name". `guard`: where memory ends that nobody may touch, as much as
 * libc puts below a thread's stack, and right behind the area before; it is written anew. */
static COLD struct smaps_area area_parse(const char *line, uintptr_t *guard)
{
    enum { GUARD_MOST = 64 << 10 };
    struct line_mapping mapping = line_mapping(line);
    struct smaps_area area = {.start = mapping.start, .end = mapping.end, .kind = name_kind(mapping.name)};
    area.is_library = area.kind == SMAPS_FILE && piece_begins(piece_base(piece_of(mapping.name)), "libhakmem");
    if (area.kind == SMAPS_ANONYMOUS && !*mapping.name && area.start == *guard)
        area.kind = SMAPS_STACK;
    bool is_guard = piece_begins(piece_of(mapping.rights), "---") && area.end - area.start <= GUARD_MOST;
    *guard = is_guard ? area.end : 0;
    return area;
}

COLD bool smaps_each(void (*each)(void *context, const struct smaps_area *area), void *context)
{
    struct lines lines = {.at = 0};
    struct smaps_area area = {.end = 0};
    uintptr_t guard = 0;
    lines.fd = os_may_look() ? os_open("/proc/self/smaps") : -1;
    if (lines.fd < 0)
        return false;
    while (lines_next(&lines)) {
        bool is_field = lines.line[0] >= 'A' && lines.line[0] <= 'Z';
        if (is_field) {
            if (!line_bytes(lines.line, "Rss:", &area.resident))
                line_bytes(lines.line, "AnonHugePages:", &area.huge);
            continue;
        }
        if (area.end > 0)
            each(context, &area);
        area = area_parse(lines.line, &guard);
    }
    os_close(lines.fd);
    if (area.end > 0)
        each(context, &area);
    return area.end > 0;
}

COLD size_t smaps_peak(void)
{
    struct lines lines = {.at = 0};
    size_t peak = 0;
    lines.fd = os_may_look() ? os_open("/proc/self/status") : -1;
    if (lines.fd < 0)
        return 0;
    while (lines_next(&lines) && !line_bytes(lines.line, "VmHWM:", &peak))
        continue;
    os_close(lines.fd);
    return peak;
}
