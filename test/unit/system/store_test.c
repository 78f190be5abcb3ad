/* store_test.c - what a store may write over, many processes that write at once, and a directory that stays small.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "system/store.h"

static char g_directory[PATH_MAX], g_path[PATH_MAX + 64];
static struct store g_store;

/* A text of ours is "ours PROGRAM" and then whatever, of up to 8 KiB, and at its end a dot: nothing is missing. */
static enum store_verdict judge(const char *text, size_t length)
{
    if (length < 6 || memcmp(text, "ours ", 5) != 0 || text[length - 1] != '.')
        return STORE_FOREIGN;
    return text[5] == 'o' ? STORE_OLD : text[5] == 'x' ? STORE_OTHERS : STORE_OWN;
}

static int directory_set(void **state)
{
    (void)state;
    strcpy(g_directory, "/tmp/hakmem-store-XXXXXX");
    if (!mkdtemp(g_directory))
        return -1;
    snprintf(g_path, sizeof g_path, "%s/p", g_directory);
    return store_find(&g_store, g_path, "program", "abc", judge) ? 0 : -1;
}

static char *path_in(const char *name)
{
    static char path[PATH_MAX + 512];
    snprintf(path, sizeof path, "%s/%s", g_directory, name);
    return path;
}

static unsigned directory_walk(bool removes)
{
    unsigned count = 0;
    DIR *directory = opendir(g_directory);
    const struct dirent *entry;
    while (directory && (entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.') {
            count++;
            if (removes && unlink(path_in(entry->d_name)) != 0)
                rmdir(path_in(entry->d_name));
        }
    if (directory)
        closedir(directory);
    return count;
}

static int directory_remove(void **state)
{
    (void)state;
    directory_walk(true);
    return rmdir(g_directory);
}

static void file_put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s: %s", path, strerror(errno));
    close(fd);
}

static void must_hold(const char *path, const char *text)
{
    char saw[STORE_TEXT_MAX] = "";
    int fd = open(path, O_RDONLY);
    must(fd >= 0, "%s: %s", path, strerror(errno));
    file_read(fd, saw, sizeof saw);
    close(fd);
    must(strcmp(saw, text) == 0, "%s: expected '%s', saw '%s'", path, text, saw);
}

static int write_text(const char *text) { return store_write(&g_store, text, strlen(text)); }

/* ---- Which file -------------------------------------------------------------------------------------------------- */

static void must_find(const char *given, const char *name)
{
    char expected[PATH_MAX + 512];
    must(store_find(&g_store, given, "program", "abc", judge), "%s: not found", given);
    snprintf(expected, sizeof expected, "%s/%s", g_directory, name);
    must(strcmp(g_store.path, expected) == 0, "%s: expected %s, saw %s", given, expected, g_store.path);
}

static void test_which_file(void **state)
{
    (void)state;
    char long_path[STORE_PATH_MAX + 1], here[PATH_MAX];
    must_find(g_path, "p");
    must_find(g_directory, "program.abc.hakmem");
    must_find(path_in(""), "program.abc.hakmem");
    must_find(path_in("none/"), "none/program.abc.hakmem");
    assert_int_equal(symlink(".", path_in("link")), 0);
    must_find(path_in("link"), "link/program.abc.hakmem");
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(g_directory), 0);
    must_find("file", "file");
    must_find("link", "link/program.abc.hakmem");
    assert_int_equal(chmod(g_directory, 01777), 0);
    snprintf(long_path, sizeof long_path, "link/program.%u.abc.hakmem", geteuid());
    must_find("link", long_path);
    assert_int_equal(chdir(here), 0);
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[STORE_PATH_MAX] = 0;
    assert_false(store_find(&g_store, long_path, "program", "abc", judge));
    long_path[0] = '/';
    assert_false(store_find(&g_store, long_path, "program", "abc", judge));
}

/* ---- What may go ------------------------------------------------------------------------------------------------- */

static void test_only_ours_is_replaced(void **state)
{
    (void)state;
    assert_int_equal(write_text("ours 1."), 0);
    assert_int_equal(write_text("ours 2."), 0);
    must_hold(g_path, "ours 2.");
    file_put(g_path, "ours old.");
    assert_int_equal(write_text("ours 3."), 0);
    must_hold(g_path, "ours 3.");
    static const struct {
        const char *text;
        int error;
    } stays[] = {{"mine", EINVAL}, {"", EINVAL}, {"ours cut off", EINVAL}, {"ours x.", EBUSY}};
    for (size_t i = 0; i < COUNT_OF(stays); i++) {
        file_put(g_path, stays[i].text);
        assert_int_equal(write_text("ours 4."), stays[i].error);
        must_hold(g_path, stays[i].text);
    }
    static char large[2 * STORE_TEXT_MAX];
    memset(large, '.', sizeof large - 1);
    memcpy(large, "ours ", 5);
    file_put(g_path, large);
    assert_int_equal(write_text("ours 5."), EFBIG);
    assert_int_equal(directory_walk(false), 1);
}

/* Whatever is no plain file, or has another name, stays what it is, and what it stands for stays as it is. */
static void test_other_things_stay(void **state)
{
    (void)state;
    struct stat before, after;
    file_put(path_in("target"), "ours 1.");
    for (unsigned i = 0; i < 7; i++) {
        int may_fail = 0;
        static const int errors[] = {ELOOP, ELOOP, EMLINK, ENODEV, ENODEV, ENODEV, EPERM};
        switch (i) {
        case 0:
            must(symlink("target", g_path) == 0, "symlink");
            break;
        case 1:
            must(symlink("nothing", g_path) == 0, "symlink");
            break;
        case 2:
            must(link(path_in("target"), g_path) == 0, "link");
            break;
        case 3:
            must(mkfifo(g_path, 0600) == 0, "mkfifo");
            break;
        case 4:
            must(mkdir(g_path, 0700) == 0, "mkdir");
            break;
        case 5:
            may_fail = mknod(g_path, S_IFCHR | 0600, 1 << 8 | 3);
            break;
        default:
            file_put(g_path, "ours 1."), may_fail = chown(g_path, 4242, 4242);
            break;
        }
        if (may_fail != 0) { /* not root */
            unlink(g_path);
            continue;
        }
        assert_int_equal(lstat(g_path, &before), 0);
        int error = write_text("ours 2.");
        must(error == errors[i], "case %u: expected %d, saw %d", i, errors[i], error);
        assert_int_equal(lstat(g_path, &after), 0);
        must(after.st_ino == before.st_ino && after.st_mode == before.st_mode, "case %u: it is another one now", i);
        must_hold(path_in("target"), "ours 1.");
        must(access(path_in("nothing"), F_OK) != 0, "case %u: the link's target was made", i);
        if (unlink(g_path) != 0)
            rmdir(g_path);
    }
    assert_int_equal(directory_walk(false), 1);
}

static void test_no_room(void **state)
{
    (void)state;
    int error = store_find(&g_store, "/dev/full/p", "program", "abc", judge) ? write_text("ours 1.") : 0;
    assert_int_equal(error, ENOTDIR);
    must_find(path_in("none/p"), "none/p"); /* a directory is made only where one was named */
    assert_int_equal(write_text("ours 1."), ENOENT);
    if (mount("none", g_directory, "tmpfs", 0, "size=4k,mode=755") != 0)
        return; /* not root */
    static char much[8000] = "ours ";
    memset(much + 5, '.', sizeof much - 6);
    must_find(g_path, "p");
    int small = write_text("ours 1."), large = write_text(much);
    unsigned files = directory_walk(false);
    int unmounted = umount(g_directory);
    must(small == 0 && large == ENOSPC && files == 1 && unmounted == 0, "saw %d, %d, %u, %d", small, large, files,
         unmounted);
}

/* ---- Many at once ------------------------------------------------------------------------------------------------ */

enum { WRITERS = 6, WRITES = 100 };

/* The processes of several containers have the same ids: what tells their drafts apart is not that. */
static void test_many_writers(void **state)
{
    (void)state;
    pid_t children[WRITERS];
    static char text[8001], seen[STORE_TEXT_MAX];
    memset(text, '.', sizeof text - 1);
    for (unsigned i = 0; i < WRITERS; i++) {
        children[i] = child_fork(60);
        if (children[i] != 0)
            continue;
        for (unsigned n = 0; n < WRITES; n++) {
            text[snprintf(text, 32, "ours %u %u", i, n)] = '.';
            if (write_text(text) != 0)
                _exit(1);
        }
        _exit(0);
    }
    size_t length, reads = 0;
    for (unsigned n = 0; n < 2000 || reads == 0; n++) { /* on a busy machine the first is written late */
        int error = store_read(&g_store, seen, &length);
        must(error == ENOENT || (error == 0 && judge(seen, length) == STORE_OWN), "a reader saw %d", error);
        reads += error == 0;
    }
    for (unsigned i = 0; i < WRITERS; i++)
        child_join(children[i], "a writer");
    assert_true(reads > 0);
    assert_int_equal(store_read(&g_store, seen, &length), 0);
    assert_int_equal(judge(seen, length), STORE_OWN);
    assert_int_equal(directory_walk(false), 1);
}

/* ---- A directory ------------------------------------------------------------------------------------------------- */

static bool is_there(const char *name) { return access(path_in(name), F_OK) == 0; }

static void set_age(const char *name, time_t seconds)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};
    assert_int_equal(utimensat(AT_FDCWD, path_in(name), times, 0), 0);
}

static void test_directory_is_made(void **state)
{
    (void)state;
    must_find(path_in("new/"), "new/program.abc.hakmem");
    assert_int_equal(write_text("ours 1."), 0);
    must_hold(g_store.path, "ours 1.");
    assert_int_equal(unlink(g_store.path), 0);
    must_find(path_in("new/er/"), "new/er/program.abc.hakmem");
    assert_int_equal(write_text("ours 1."), 0);
    assert_int_equal(unlink(g_store.path), 0);
    assert_int_equal(rmdir(path_in("new/er")), 0);
    must_find(path_in("a/b/"), "a/b/program.abc.hakmem");
    assert_int_equal(write_text("ours 1."), ENOENT);
}

/* The build that stood in this one's place goes, and drafts that nobody will finish; all else stays. */
static void test_old_builds_go(void **state)
{
    (void)state;
    static const char draft[] = "program.dead.hakmem.0123456789abcdef.draft";
    static const char *const stay[] = {
        "program.0a.hakmem", /* of another place */
        "program.0b.hakmem",
        "program.old.hakmem",
        "programs.0c.hakmem",
        "other.program.0d.hakmem",
        "program.0e",
        "notes",
        "program.dead.hakmem.0123456789abcdeg.draft",
        "0123456789abcdef.draft",
    };
    for (size_t i = 0; i < COUNT_OF(stay); i++)
        file_put(path_in(stay[i]), i == 1 ? "mine" : i == 0 ? "ours 1." : i == 2 ? "ours 1." : "ours o.");
    file_put(path_in("program.0f.hakmem"), "ours o.");
    assert_int_equal(symlink("notes", path_in("program.0123.hakmem")), 0);
    file_put(path_in(draft), "ours o");
    file_put(path_in("program.dead.hakmem.1123456789abcdef.draft"), "ours");
    for (size_t i = 0; i < COUNT_OF(stay); i++)
        set_age(stay[i], 100000);
    set_age(draft, 4000);
    must_find(g_directory, "program.abc.hakmem");
    assert_int_equal(write_text("ours 1."), 0);
    for (size_t i = 0; i < COUNT_OF(stay); i++)
        must(is_there(stay[i]), "%s is gone", stay[i]);
    assert_true(is_there("program.0123.hakmem") && is_there("program.abc.hakmem"));
    assert_true(is_there("program.dead.hakmem.1123456789abcdef.draft")); /* it may be finished yet */
    assert_false(is_there("program.0f.hakmem"));
    assert_false(is_there(draft));
}

/* Of builds in places of their own the four newest stay; of all files, a thousand. */
static void test_directory_stays_small(void **state)
{
    (void)state;
    char name[64];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "%04x", i);
        assert_true(store_find(&g_store, g_directory, "program", name, judge));
        assert_int_equal(write_text("ours 1."), 0);
        snprintf(name, sizeof name, "program.%04x.hakmem", i);
        set_age(name, 1000 - i);
        must(directory_walk(false) == (i < 4 ? i + 1 : 4), "after %u: %u", i + 1, directory_walk(false));
    }
    assert_true(is_there("program.0009.hakmem") && is_there("program.0006.hakmem"));
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "p%u.cafe.hakmem", i);
        file_put(path_in(name), i == 500 ? "mine" : "ours x.");
        set_age(name, i == 77 ? 5000 : i == 78 ? 4000 : 2000);
    }
    for (unsigned i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "new%u", i);
        assert_true(store_find(&g_store, g_directory, name, "abc", judge));
        assert_int_equal(write_text("ours 1."), 0);
    }
    assert_false(is_there("p77.cafe.hakmem"));
    assert_false(is_there("p78.cafe.hakmem"));
    assert_true(directory_walk(false) <= 1004);
}

/* Nothing but a name of ours is left by a machine that stopped: no reason to learn nothing for ever. */
static void test_empty_file_in_a_directory(void **state)
{
    (void)state;
    must_find(g_directory, "program.abc.hakmem");
    file_put(g_store.path, "");
    assert_int_equal(write_text("ours 1."), 0);
    must_hold(g_store.path, "ours 1.");
    file_put(g_store.path, "mine");
    assert_int_equal(write_text("ours 2."), EINVAL);
    must_hold(g_store.path, "mine");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, directory_set, directory_remove)
    const struct CMUnitTest tests[] = {
        TEST(test_which_file),    TEST(test_only_ours_is_replaced), TEST(test_other_things_stay),
        TEST(test_no_room),       TEST(test_many_writers),          TEST(test_directory_is_made),
        TEST(test_old_builds_go), TEST(test_directory_stays_small), TEST(test_empty_file_in_a_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
