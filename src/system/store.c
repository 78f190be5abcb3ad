#include "system/store.h"

#include "system/os_clock.h"
#include "system/os_file.h"
#include "system/os_process.h"
#include "system/text.h"

#include <errno.h>

#define STORE_SUFFIX ".hakmem"
#define DRAFT_SUFFIX ".draft"
enum {
    NAME_MAX_LETTERS = 255, /* of a file's name */
    BUILDS_MOST = 4,        /* files of a program, from places of their own */
    FILES_MOST = 1000,      /* in a directory */
    DRAFT_LIFE = 3600       /* seconds after which its process is gone */
};

static SPARSE char text_found[STORE_TEXT_MAX];

/* ---- Paths ------------------------------------------------------------------------------------------------------- */

/* Adds a string to a path as long as there is room; its length, or STORE_PATH_MAX where it did not fit. */
static size_t path_add(char path[static STORE_PATH_MAX], size_t length, const char *string)
{
    for (; *string && length < STORE_PATH_MAX; string++)
        path[length++] = *string;
    if (length < STORE_PATH_MAX)
        path[length] = 0;
    return length;
}

static size_t path_add_number(char path[static STORE_PATH_MAX], size_t length, uint64_t number, unsigned base)
{
    char digits[24], *p = digits + sizeof digits - 1;
    *p = 0;
    do
        *--p = "0123456789abcdef"[number % base];
    while ((number /= base) > 0);
    return path_add(path, length, p);
}

static bool ends_in(const char *name, const char *suffix)
{
    size_t length = text_length(name), end = text_length(suffix);
    return length >= end && __builtin_memcmp(name + length - end, suffix, end) == 0;
}

static bool begins_with(const char *name, const char *prefix, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (name[i] != prefix[i])
            return false;
    return true;
}

/* ---- Which file -------------------------------------------------------------------------------------------------- */

COLD bool store_find(struct store *store, const char *path, const char *program, const char *build, store_judge *judge)
{
    struct file_info info = {.kind = FILE_OTHER};
    char *out = store->path;
    size_t length = 0;
    *store = (struct store){.judge = judge};
    if (path[0] != '/') {
        if (!os_working_directory(out, STORE_PATH_MAX))
            return false;
        length = path_add(out, text_length(out), "/");
    }
    length = path_add(out, length, path);
    if (length == STORE_PATH_MAX)
        return false;
    bool is_there = os_file_look(out, true, &info) == 0;
    if (out[length - 1] == '/' || (is_there && info.kind == FILE_DIRECTORY)) {
        length = path_add(out, length, out[length - 1] == '/' ? "" : "/");
        store->name = length;
        length = path_add(out, length, program);
        length = path_add(out, length, ".");
        if (is_there && info.is_for_all)
            length = path_add(out, path_add_number(out, length, os_user_id(), 10), ".");
        store->program = length - store->name;
        length = path_add(out, path_add(out, length, build), STORE_SUFFIX);
    }
    return length < STORE_PATH_MAX;
}

COLD int store_read(const struct store *store, char text[static STORE_TEXT_MAX], size_t *length)
{
    return os_file_read(store->path, text, STORE_TEXT_MAX, length);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

/* What is at the file's place: 0 if it may be replaced, ENOENT if nothing is, else why it stays. */
static COLD int store_obstacle(const struct store *store)
{
    struct file_info info;
    size_t length;
    int error = os_file_look(store->path, false, &info);
    if (error)
        return error;
    if (info.kind == FILE_LINK)
        return ELOOP;
    if (info.kind != FILE_PLAIN)
        return ENODEV;
    if (!info.is_own)
        return EPERM;
    if (info.names > 1)
        return EMLINK;
    error = store_read(store, text_found, &length);
    if (error)
        return error;
    if (length == 0 && store->program > 0)
        return 0; /* a name of ours alone, after a crash of the machine */
    enum store_verdict verdict = store->judge(text_found, length);
    return verdict == STORE_FOREIGN ? EINVAL : verdict == STORE_OTHERS ? EBUSY : 0;
}

/* A name beside the file that no other process has, in this container or another one, and that none can know before. */
static COLD void draft_name(const struct store *store, char draft[static STORE_PATH_MAX])
{
    uint64_t seed = os_nanoseconds() ^ (uint64_t)os_process_id() << 40 ^ (uintptr_t)draft;
    seed *= UINT64_C(0x9E3779B97F4A7C15);
    seed ^= seed >> 32;
    size_t length = path_add(draft, path_add(draft, 0, store->path), ".");
    length = path_add_number(draft, length, seed | UINT64_C(1) << 63, 16); /* with all its digits */
    path_add(draft, length, DRAFT_SUFFIX);
}

static COLD int draft_make(const struct store *store, char draft[static STORE_PATH_MAX], const char *text,
                           size_t length)
{
    enum { TRIES = 8 };
    int error = EEXIST;
    for (unsigned i = 0; i < TRIES && error == EEXIST; i++) {
        draft_name(store, draft);
        if (ends_in(draft, DRAFT_SUFFIX))
            error = os_file_make(draft, text, length);
        else
            error = ENAMETOOLONG;
    }
    return error;
}

static COLD void directory_path(const struct store *store, char path[static STORE_PATH_MAX])
{
    path_add(path, 0, store->path);
    path[store->name] = 0;
}

static COLD int draft_make_anywhere(const struct store *store, char draft[static STORE_PATH_MAX], const char *text,
                                    size_t length)
{
    int error = draft_make(store, draft, text, length);
    if (error != ENOENT || store->program == 0)
        return error;
    directory_path(store, draft);
    error = os_directory_make(draft);
    return error && error != EEXIST ? error : draft_make(store, draft, text, length);
}

static void directory_tidy(const struct store *store);

COLD int store_write(const struct store *store, const char *text, size_t length)
{
    enum { TRIES = 8 };
    char draft[STORE_PATH_MAX];
    int before = store_obstacle(store);
    if (before && before != ENOENT)
        return before;
    int error = draft_make_anywhere(store, draft, text, length);
    if (error)
        return error;
    error = EEXIST;
    for (unsigned i = 0; i < TRIES && error == EEXIST; i++) { /* others write meanwhile, and other programs */
        int now = store_obstacle(store);
        error = now && now != ENOENT ? now : os_file_rename(draft, store->path, now == 0);
    }
    if (error)
        os_file_remove(draft);
    else if (before == ENOENT && store->program > 0)
        directory_tidy(store);
    return error;
}

/* ---- A directory of them ----------------------------------------------------------------------------------------- */

struct oldest {
    char name[NAME_MAX_LETTERS + 1];
    uint64_t changed;
};

struct survey {
    const struct store *store;
    uint64_t now;
    unsigned builds, files;    /* of the program, and all */
    struct oldest build, file; /* but for the store's own */
};

static bool are_hex(const char *letters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(letters[i] >= '0' && letters[i] <= '9') && !(letters[i] >= 'a' && letters[i] <= 'f'))
            return false;
    return true;
}

/* Whether the name is one that draft_name gives in a directory. */
static bool is_draft(const char *name)
{
    enum { BEFORE = sizeof STORE_SUFFIX "." - 1, DIGITS = 16, BEHIND = sizeof DRAFT_SUFFIX - 1 };
    size_t length = text_length(name);
    if (length < BEFORE + DIGITS + BEHIND || !ends_in(name, DRAFT_SUFFIX))
        return false;
    const char *digits = name + length - BEHIND - DIGITS;
    return are_hex(digits, DIGITS) && __builtin_memcmp(digits - BEFORE, STORE_SUFFIX ".", BEFORE) == 0;
}

/* Whether it is a file of the store's program. */
static bool is_build(const struct store *store, const char *name)
{
    enum { ENDING = sizeof STORE_SUFFIX - 1 };
    size_t length = text_length(name);
    return ends_in(name, STORE_SUFFIX) && length > store->program + ENDING &&
           begins_with(name, store->path + store->name, store->program) &&
           are_hex(name + store->program, length - store->program - ENDING);
}

static COLD enum store_verdict verdict_on(const struct store *store, const char *path)
{
    size_t length;
    return os_file_read(path, text_found, sizeof text_found, &length) ? STORE_FOREIGN
                                                                      : store->judge(text_found, length);
}

/* The path of a neighbour, if it is a plain file of this user's. */
static COLD bool neighbour_find(const struct store *store, const char *name, char path[static STORE_PATH_MAX],
                                struct file_info *info)
{
    directory_path(store, path);
    return path_add(path, store->name, name) < STORE_PATH_MAX && os_file_look(path, false, info) == 0 &&
           info->kind == FILE_PLAIN && info->is_own && info->names == 1;
}

static COLD void oldest_add(struct oldest *oldest, const char *name, uint64_t changed)
{
    if (oldest->name[0] && oldest->changed <= changed)
        return;
    oldest->changed = changed;
    for (size_t i = 0; i <= NAME_MAX_LETTERS && (oldest->name[i] = name[i]) != 0; i++)
        continue;
}

static COLD void survey_add(void *context, const char *name)
{
    struct survey *survey = context;
    const struct store *store = survey->store;
    char path[STORE_PATH_MAX];
    struct file_info info;
    if (!(is_draft(name) || ends_in(name, STORE_SUFFIX)) || !neighbour_find(store, name, path, &info))
        return;
    bool is_old_build = is_build(store, name) && verdict_on(store, path) == STORE_OLD;
    if (is_draft(name) ? info.changed + DRAFT_LIFE < survey->now : is_old_build) {
        os_file_remove(path);
        return;
    }
    if (is_draft(name))
        return;
    survey->files++;
    survey->builds += is_build(store, name);
    if (begins_with(name, store->path + store->name, text_length(name) + 1))
        return;
    oldest_add(&survey->file, name, info.changed);
    if (is_build(store, name))
        oldest_add(&survey->build, name, info.changed);
}

static COLD void directory_tidy(const struct store *store)
{
    struct survey survey = {.store = store};
    struct file_info info;
    char path[STORE_PATH_MAX];
    if (os_file_look(store->path, false, &info))
        return;
    survey.now = info.changed;
    directory_path(store, path);
    os_directory_list(path, survey_add, &survey);
    const struct oldest *goes = survey.builds > BUILDS_MOST ? &survey.build : &survey.file;
    if ((survey.builds > BUILDS_MOST || survey.files > FILES_MOST) && neighbour_find(store, goes->name, path, &info) &&
        verdict_on(store, path) != STORE_FOREIGN)
        os_file_remove(path);
}
