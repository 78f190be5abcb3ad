#include "system/cgroup.h"

#include "base/word.h"
#include "system/os_file.h"
#include "system/os_look.h"

enum { PATH_CAPACITY = 1024, TEXT_CAPACITY = 8192 };

/* What files are called in which version, below the controller's folder. */
static const struct version {
    unsigned number;
    const char *folder, *limits[2], *usage, *cache[2];
} group_versions[] = {
    {1, "/memory", {"/memory.limit_in_bytes", NULL}, "/memory.usage_in_bytes",
     {"\ntotal_inactive_file ", "\ntotal_active_file "}},
    {2, "", {"/memory.max", "/memory.high"}, "/memory.current", {"\ninactive_file ", "\nactive_file "}},
};

/* Whoever is at work has these. */
static SPARSE char group_text[TEXT_CAPACITY];
static SPARSE char group_path[PATH_CAPACITY], limit_file[PATH_CAPACITY];

/* The text of the file, terminated, behind a line's end; false when it cannot be read. */
static bool read_text(const char *file)
{
    int fd = os_open(file);
    if (fd < 0)
        return false;
    group_text[0] = '\n';
    size_t length = 1, more;
    while (length < TEXT_CAPACITY - 1 && (more = os_read(fd, group_text + length, TEXT_CAPACITY - 1 - length)) > 0)
        length += more;
    os_close(fd);
    group_text[length] = 0;
    return true;
}

/* The same of the file `name` in the group whose path has `length` letters. */
static bool read_in_group(size_t length, const char *name)
{
    size_t end = length;
    for (; *name && end < PATH_CAPACITY - 1; name++)
        group_path[end++] = *name;
    group_path[end] = 0;
    bool done = end < PATH_CAPACITY - 1 && read_text(group_path);
    group_path[length] = 0;
    return done;
}

/* The number at `at`; `otherwise` when there is none, as in "max". */
static size_t number_at(const char *at, size_t otherwise)
{
    size_t number = 0;
    if (*at < '0' || *at > '9')
        return otherwise;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, (size_t)10, &number) ||
            __builtin_add_overflow(number, (size_t)(*at - '0'), &number))
            return otherwise;
    return number;
}

/* The number behind `key` in the text; 0 when it is not there. */
static size_t number_behind(const char *key)
{
    for (const char *line = group_text; *line; line++) {
        size_t i = 0;
        while (key[i] && line[i] == key[i])
            i++;
        if (!key[i])
            return number_at(line + i, 0);
    }
    return 0;
}

/* What the group whose path has so many letters may have, and the file that says so; SIZE_MAX: anything. Version 1
 * writes a number near 2^63 for that. */
static size_t group_limit(const struct version *version, size_t length, const char **name)
{
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < 2; i++) {
        bool known = version->limits[i] && read_in_group(length, version->limits[i]);
        size_t limit = known ? number_at(group_text + 1, SIZE_MAX) : SIZE_MAX;
        if (limit < least) {
            least = limit;
            *name = version->limits[i];
        }
    }
    return least < (size_t)1 << 62 ? least : SIZE_MAX;
}

/* Keeps the name of a file in the group, cut off if it is too long. */
static void limit_file_keep(size_t length, const char *name)
{
    size_t end = 0;
    while (end < length && end < PATH_CAPACITY - 1) {
        limit_file[end] = group_path[end];
        end++;
    }
    for (; *name && end < PATH_CAPACITY - 1; name++)
        limit_file[end++] = *name;
    limit_file[end] = 0;
}

/* What of it is in use and cannot be dropped. */
static size_t group_usage(const struct version *version, size_t length)
{
    if (!read_in_group(length, version->usage))
        return 0;
    size_t usage = number_at(group_text + 1, 0), cache = 0;
    if (read_in_group(length, "/memory.stat"))
        cache = number_behind(version->cache[0]) + number_behind(version->cache[1]);
    return usage - min_size(usage, cache);
}

/* Finds the process's group in the list that was read, "4:memory,cpu:/path" or "0::/path": its version, and the path.
 * NULL when there is none. */
static const struct version *group_find(const char **start, size_t *length)
{
    const struct version *found = NULL;
    for (const char *line = group_text + 1; *line;) {
        const char *name = line;
        while (*name && *name != ':' && *name != '\n')
            name++;
        const char *at = name + (*name == ':');
        bool is_memory = false, is_unified = *name == ':' && *at == ':';
        while (*name == ':' && *at && *at != ':' && *at != '\n') {
            size_t word = 0;
            while (at[word] && at[word] != ',' && at[word] != ':' && at[word] != '\n')
                word++;
            is_memory |= word == 6 && __builtin_memcmp(at, "memory", 6) == 0;
            at += word + (at[word] == ',');
        }
        const char *group = at + (*at == ':'), *end = group;
        while (*end && *end != '\n')
            end++;
        if (is_memory || (is_unified && !found)) {
            found = &group_versions[is_memory ? 0 : 1];
            *start = group;
            *length = (size_t)(end - group);
        }
        line = end + (*end == '\n');
    }
    return found;
}

/* Writes the group's path; false when it has no room. */
static bool path_make(const char *root, const char *folder, const char *group, size_t group_length, size_t *root_length)
{
    size_t end = 0;
    for (; *root && end < PATH_CAPACITY - 1; root++)
        group_path[end++] = *root;
    for (; *folder && end < PATH_CAPACITY - 1; folder++)
        group_path[end++] = *folder;
    *root_length = end;
    if (end + group_length >= PATH_CAPACITY)
        return false;
    for (size_t i = 0; i < group_length; i++)
        group_path[end++] = group[i];
    group_path[end] = 0;
    return true;
}

COLD struct cgroup_memory cgroup_memory_at(const char *list, const char *root)
{
    struct cgroup_memory memory = {.limit = SIZE_MAX, .room = SIZE_MAX};
    const char *group;
    size_t length, root_length;
    const struct version *version = read_text(list) ? group_find(&group, &length) : NULL;
    if (!version || !path_make(root, version->folder, group, length, &root_length))
        return memory;
    memory.version = version->number;
    /* In a container the path may be one that only the host sees; what is mounted as the root is the container's
     * then. */
    for (length += root_length;; length--) {
        if (length > root_length && group_path[length] != '/' && group_path[length] != 0)
            continue;
        group_path[length] = 0;
        bool is_folder = length == root_length || group_path[length - 1] != '/';
        const char *name = NULL;
        size_t limit = is_folder ? group_limit(version, length, &name) : SIZE_MAX;
        if (limit < SIZE_MAX) {
            size_t used = group_usage(version, length), room = limit - min_size(limit, used);
            memory.limit = min_size(memory.limit, limit);
            if (room < memory.room) {
                memory.room = room;
                memory.used = used;
                memory.file = limit_file;
                limit_file_keep(length, name);
            }
        }
        if (length == root_length)
            return memory;
    }
}

COLD struct cgroup_memory cgroup_memory(void)
{
    if (!os_may_look())
        return (struct cgroup_memory){.limit = SIZE_MAX, .room = SIZE_MAX};
    return cgroup_memory_at("/proc/self/cgroup", "/sys/fs/cgroup");
}
