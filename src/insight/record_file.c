#include "insight/record_file.h"

#include "system/error.h"
#include "system/options.h"
#include "system/os_file.h"
#include "system/os_process.h"
#include "system/os_sandbox.h"
#include "system/text.h"

#include <errno.h>

enum { PATH_ROOM = 1280 }; /* bytes of a path: where the process began, and what the option says */

static SPARSE char file_path[PATH_ROOM]; /* [growth lock] */
static SPARSE char begun_in[PATH_ROOM];  /* [const] where a relative path begins, with a slash; or empty */

/* Appends up to `length` bytes of a string; false when there is no room. */
static COLD bool name_append(size_t *end, const char *text, size_t length)
{
    if (*end + length >= PATH_ROOM)
        return false;
    __builtin_memcpy(file_path + *end, text, length);
    *end += length;
    file_path[*end] = '\0';
    return true;
}

static COLD bool number_append(size_t *end, uint32_t number)
{
    char digits[10];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return name_append(end, digits + at, sizeof digits - at);
}

static COLD bool program_append(size_t *end)
{
    struct piece name = piece_base(piece_of(os_program()));
    return name_append(end, name.start, name.length);
}

/* The process that the path is for; 0: any. In *rest what follows the "%=" that the text begins with. */
static COLD uint64_t process_parse(const char *text, const char **rest)
{
    uint64_t process = 0;
    for (text += 2; *text >= '0' && *text <= '9'; text++)
        process = process * 10 + (uint64_t)(*text - '0');
    *rest = text;
    return process;
}

/* Whether the path is for one process, whose number is in *process then. */
static COLD bool is_for_one(uint64_t *process)
{
    const char *path = option_path(OPTION_RECORD), *rest;
    for (; *path; path++)
        if (path[0] == '%' && path[1] == '=') {
            *process = process_parse(path, &rest);
            return true;
        } else if (path[0] == '%' && path[1]) {
            path++;
        }
    return false;
}

/* What the option says, with %p and %e replaced. */
static COLD bool file_path_make(const char *from)
{
    size_t end = 0;
    bool fits = name_append(&end, begun_in, text_length(begun_in));
    for (; *from && fits; from++) {
        if (from[0] == '%' && from[1] == '=') {
            process_parse(from, &from);
            from--; /* the loop goes on behind it */
            continue;
        }
        bool is_special = *from == '%' && (from[1] == 'p' || from[1] == 'e' || from[1] == '%');
        from += is_special;
        if (is_special && *from == 'p')
            fits = number_append(&end, os_process_id());
        else if (is_special && *from == 'e')
            fits = program_append(&end);
        else
            fits = name_append(&end, from, 1);
    }
    return fits;
}

COLD bool record_file_is_each(void)
{
    for (const char *path = option_path(OPTION_RECORD); *path; path++)
        if (path[0] == '%' && *++path == 'p')
            return true;
    return false;
}

static COLD void file_warn(int error)
{
    const char *path = option_path(OPTION_RECORD);
    error_warn(WARNING_RECORD, path, text_length(path),
               error == ENOSPC ? "no space is left on the device" : error == ENOENT ? "there is no such directory"
               : error == EEXIST ? "something is there that is not to be replaced"
               : error == ENAMETOOLONG ? "the path is too long" : "a file cannot be made there");
}

/* What a process before this one has left there, of this user's, is kept under another name: it may be what somebody
 * wants to see. Anything else stays. */
static COLD int file_make_way(void)
{
    static const char ending[] = ".old";
    static SPARSE char old[PATH_ROOM + sizeof ending];
    struct file_info there;
    int error = os_file_look(file_path, false, &there);
    if (error)
        return error == ENOENT ? 0 : error;
    if (there.kind != FILE_PLAIN || !there.is_own || there.names != 1)
        return EEXIST;
    size_t length = text_length(file_path);
    __builtin_memcpy(old, file_path, length);
    __builtin_memcpy(old + length, ending, sizeof ending);
    return os_file_rename(file_path, old, true);
}

COLD void *record_file_make(void)
{
    void *made = NULL;
    if (option(OPTION_RECORD) == 0 || !os_may_make_files())
        return NULL;
    int error = file_path_make(option_path(OPTION_RECORD)) ? file_make_way() : ENAMETOOLONG;
    if (!error)
        error = os_file_map(file_path, RECORD_FILE_SIZE, &made);
    if (error)
        file_warn(error);
    return error ? NULL : made;
}

COLD void record_file_start(void)
{
    uint64_t process;
    if (option(OPTION_RECORD) != 0 && is_for_one(&process)) {
        option_sources[OPTION_RECORD].origin = OPTION_BY_DEFAULT; /* by whoever reads what is told, it was not set */
        if (process != os_process_id())
            option_values[OPTION_RECORD] = 0;
    }
    if (option(OPTION_RECORD) != 0 && option_path(OPTION_RECORD)[0] != '/' &&
        os_working_directory(begun_in, PATH_ROOM - 1)) {
        size_t end = text_length(begun_in);
        begun_in[end] = '/';
        begun_in[end + 1] = '\0';
    }
}
