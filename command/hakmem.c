/* hakmem - the command. `hakmem run program` runs a program on libhakmem by preloading it; `hakmem bench` and
 * `hakmem compare` start the bench lab, which is written in Python, and tell it where the library is.
 *
 * The program replaces this process, so that its exit status, its signals and its terminal are its own; but with
 * --sites this process waits, to put names into the table that the program writes at its end, and with --stats, to say
 * where its memory was if a signal ends it. A command is a row of
 * `commands`; the options for --set are the rows of src/system/options.def.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "hakmem.h"
#include "profile/heap.h"
#include "profile/serve.h"
#include "last.h"
#include "present.h"
#include "read/source.h"
#include "sites.h"
#include "memory/stats.h"
#include "tool.h"
#include "memory/top.h"
#include "memory/trim.h"
#include "memory/why.h"
#include "base/word.h"

/* ---- The library's options --------------------------------------------------------------------------------------- */

enum option_kind { FLAG, COUNT, SHARE, SIZE, PATH, LIST, DETAIL, LEARN, REPORT, HUGE };

static const struct option_row {
    const char *name, *variable, *doc;
    enum option_kind kind;
    bool is_for_experts;
    unsigned long long value, min, max;
} option_rows[] = {
#define X(id, name, kind, value, min, max, doc) {name, "HAKMEM_" #id, doc, kind, false, value, min, max},
#define E(id, name, kind, value, min, max, doc) {name, "HAKMEM_" #id, doc, kind, true, value, min, max},
#include "system/options.def"
#undef X
#undef E
};
enum { OPTION_ROWS = sizeof option_rows / sizeof option_rows[0] };

static const char *const option_names[OPTION_ROWS] = {
#define X(id, name, kind, value, min, max, doc) name,
#include "system/options.def"
#undef X
};

/* NULL when there is none. */
static const struct option_row *option_find(const char *name)
{
    for (size_t i = 0; i < OPTION_ROWS; i++)
        if (strcmp(option_rows[i].name, name) == 0)
            return &option_rows[i];
    return NULL;
}

/* A status. */
static int option_refuse(const char *name)
{
    static const char hint[] = "'hakmem run --help' lists all names";
    const char *meant = word_meant(name, strlen(name), option_names, OPTION_ROWS);
    return meant ? complain(STATUS_FAILED, hint, "--set: no option '%s'; did you mean '%s'?", name, meant)
                 : complain(STATUS_FAILED, hint, "--set: no option '%s'", name);
}

/* Puts "name=value" into the environment; a status. The library itself judges the value, when the program starts. */
static int option_set(const char *assignment)
{
    size_t length = strcspn(assignment, "=");
    if (assignment[length] == '\0')
        return complain(STATUS_FAILED, NULL, "--set takes NAME=VALUE, not '%s'", assignment);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name), assignment);
    const struct option_row *row = option_find(name);
    if (!row)
        return option_refuse(name);
    if (setenv(row->variable, assignment + length + 1, 1) != 0)
        return complain(STATUS_FAILED, NULL, "cannot set %s: %s", row->variable, strerror(errno));
    return 0;
}

/* ---- Where files of ours are ------------------------------------------------------------------------------------- */

/* The places of a file, in this order, up to NULL; a relative one begins at the directory that holds this program: the
 * build directory, an installed tree wherever it was moved, and at last the directory it was configured for. */
static const char *const library_places[] = {".", ("../lib/" HAK_MULTIARCH), "../lib", "../lib64", HAK_LIBDIR, NULL};
static const char *const lab_places[] = {"lab", "../share/hakmem/lab", (HAK_DATADIR "/hakmem/lab"), NULL};
static const char *const workloads_places[] = {"bench", "../libexec/hakmem", (HAK_LIBEXECDIR "/hakmem"), NULL};

/* Fills `self` with the directory that holds this program; false when that cannot be found out. */
static bool self_find(char self[static PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", self, PATH_MAX - 1);
    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

/* Fills `path` with the file's absolute path; false when it is in none of the places. */
static bool file_find(char path[static PATH_MAX], const char *const *places, const char *name)
{
    char self[PATH_MAX];
    bool is_self_known = self_find(self);
    for (; *places; places++) {
        bool is_absolute = **places == '/';
        if (!is_absolute && !is_self_known)
            continue;
        char place[PATH_MAX], directory[PATH_MAX];
        int place_length = snprintf(place, sizeof place, "%s/%s", is_absolute ? "" : self, *places);
        /* The directory without dots and links, but the file's own link, which stays right after an upgrade. */
        if (place_length >= PATH_MAX || !realpath(place, directory))
            continue;
        int path_length = snprintf(path, PATH_MAX, "%s/%s", directory, name);
        if (path_length < PATH_MAX && access(path, R_OK) == 0)
            return true;
    }
    return false;
}

/* Fills `path` with the library's absolute path; a status. */
static int library_find(char path[static PATH_MAX])
{
    if (file_find(path, library_places, HAK_LIBRARY))
        return 0;
    char self[PATH_MAX];
    return complain(STATUS_FAILED, NULL, "%s is neither beside %s/hakmem, nor in ../lib from there, nor in %s",
                    HAK_LIBRARY, self_find(self) ? self : "", HAK_LIBDIR);
}

/* Makes the dynamic linker load the library first, before what is preloaded already; a status. */
static int library_preload(void)
{
    char path[PATH_MAX];
    int status = library_find(path);
    if (status != 0)
        return status;
    if (strpbrk(path, " :"))
        return complain(STATUS_FAILED, NULL,
                        "'%s' cannot be preloaded: LD_PRELOAD has no way to write a blank or colon in a path", path);
    const char *others = getenv("LD_PRELOAD");
    bool has_others = others && *others;
    char *list;
    if (asprintf(&list, "%s%s%s", path, has_others ? ":" : "", has_others ? others : "") < 0 ||
        setenv("LD_PRELOAD", list, 1) != 0)
        return complain(STATUS_FAILED, NULL, "cannot set LD_PRELOAD: %s", strerror(errno));
    free(list);
    return 0;
}

/* ---- Programs that cannot be preloaded --------------------------------------------------------------------------- */

/* The file that execvp would take for `program`; false when there is none. */
static bool program_find(const char *program, char path[static PATH_MAX])
{
    if (strchr(program, '/'))
        return snprintf(path, PATH_MAX, "%s", program) < PATH_MAX;
    const char *place = getenv("PATH");
    if (!place)
        place = "/bin:/usr/bin";
    for (;; place++) {
        size_t length = strcspn(place, ":");
        int path_length = snprintf(path, PATH_MAX, "%.*s%s%s", (int)length, place, length > 0 ? "/" : "", program);
        if (path_length < PATH_MAX && access(path, X_OK) == 0)
            return true;
        place += length;
        if (*place == '\0')
            return false;
    }
}

/* Whether the program gets rights that the caller lacks: the dynamic linker then ignores LD_PRELOAD. */
static bool gains_rights(int fd)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return false;
    return ((info.st_mode & S_ISUID) && info.st_uid != getuid()) ||
           ((info.st_mode & S_ISGID) && (info.st_mode & S_IXGRP) && info.st_gid != getgid()) ||
           (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0);
}

/* Whether the ELF file names a dynamic linker; also true when that cannot be found out. */
static bool has_interpreter(int fd, const Elf64_Ehdr *header)
{
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        off_t offset = (off_t)(header->e_phoff + (Elf64_Off)i * header->e_phentsize);
        if (pread(fd, &segment, sizeof segment, offset) != (ssize_t)sizeof segment || segment.p_type == PT_INTERP)
            return true;
    }
    return false;
}

/* What keeps the library out of an ELF file, as the end of a sentence about it; NULL when nothing does. */
static const char *elf_obstacle(int fd, const Elf64_Ehdr *header)
{
    Elf64_Ehdr self;
    int self_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    bool known = self_fd >= 0 && pread(self_fd, &self, sizeof self, 0) == (ssize_t)sizeof self;
    if (self_fd >= 0)
        close(self_fd);
    if (known && (header->e_ident[EI_CLASS] != self.e_ident[EI_CLASS] || header->e_machine != self.e_machine))
        return "is built for another architecture than hakmem";
    if (gains_rights(fd))
        return "runs with other rights than yours (setuid, setgid or file capabilities)";
    if (!has_interpreter(fd, header))
        return "is statically linked";
    return NULL;
}

/* The same for any program. A script is judged by its interpreter, whose path replaces its own. */
static const char *program_obstacle(char path[static PATH_MAX])
{
    for (int level = 0; level < 4; level++) {
        /* A FIFO is no program, and no reason to wait. */
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
            return NULL;
        union {
            Elf64_Ehdr elf;
            char text[256];
        } head = {.text = ""};
        ssize_t length = pread(fd, &head, sizeof head.text - 1, 0);
        const char *obstacle = NULL;
        if (length >= (ssize_t)sizeof head.elf && memcmp(head.elf.e_ident, ELFMAG, SELFMAG) == 0)
            obstacle = elf_obstacle(fd, &head.elf);
        close(fd);
        if (obstacle || strncmp(head.text, "#!", 2) != 0)
            return obstacle;
        const char *interpreter = head.text + 2 + strspn(head.text + 2, " \t");
        snprintf(path, PATH_MAX, "%.*s", (int)strcspn(interpreter, " \t\n"), interpreter);
    }
    return NULL;
}

static void program_warn(const char *program)
{
    char path[PATH_MAX];
    const char *obstacle = program_find(program, path) ? program_obstacle(path) : NULL;
    if (obstacle)
        complain(0, NULL, "warning: %s %s: hakmem cannot be preloaded into it, and it keeps its own malloc", path,
                 obstacle);
}

/* ---- The names for --set ----------------------------------------------------------------------------------------- */

/* "(0 to 1, default 0)", or nothing. */
static void bounds_write(char *text, size_t size, const struct option_row *row)
{
    text[0] = '\0';
    if (row->kind == FLAG || row->kind == COUNT)
        snprintf(text, size, " (%llu to %llu, default %llu)", row->min, row->max, row->value);
    else if (row->kind == SHARE)
        snprintf(text, size, " (%.2f to %.2f, default %.2f)", (double)row->min / 100, (double)row->max / 100,
                 (double)row->value / 100);
}

static void row_print(const struct option_row *row)
{
    char bounds[80];
    bounds_write(bounds, sizeof bounds, row);
    char *text = text_make("%s%s", row->doc, bounds);
    text_wrap_behind(stdout, text ? text : row->doc, "  %-17s  ", row->name);
    free(text);
}

static void rows_print(bool for_experts)
{
    for (size_t i = 0; i < OPTION_ROWS; i++)
        if (option_rows[i].is_for_experts == for_experts)
            row_print(&option_rows[i]);
}

/* ---- hakmem run -------------------------------------------------------------------------------------------------- */

static int run_help(void)
{
    puts("usage: hakmem run [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
         "\n"
         "Runs PROGRAM, and every program that it starts, with hakmem in place of malloc:\n"
         "libhakmem is put in front of LD_PRELOAD.\n"
         "\n"
         "options:\n"
         "  --stats           at exit, where the memory is, in twelve lines at most; also\n"
         "                    if a signal ends PROGRAM\n"
         "  --stats=all       then every statistic\n"
         "  --children        also of the programs that PROGRAM starts, if they end by\n"
         "                    themselves\n"
         "  --check           same as --set check=1: stop at the first misuse of memory\n"
         "                    that can be found\n"
         "  --sites           as --set sites=1, with names: which callers of malloc hold\n"
         "                    most memory, on stderr at exit\n"
         "  --set NAME=VALUE  set an option of the library; may be repeated\n"
         "  -h, --help        show this text\n"
         "\n"
         "names for --set ('hakmem explain --help' has more, for experts):");
    rows_print(false);
    puts("\n"
         "exit status:\n"
         "  that of PROGRAM; 127 when it is not found, 126 when it cannot be executed, 125\n"
         "  when hakmem itself fails\n"
         "\n"
         "examples:\n"
         "  hakmem run ls -l\n"
         "  hakmem run --stats -- python3 script.py --its --options\n"
         "  hakmem run --sites ./server\n"
         "  hakmem run --set check=1 make test");
    return finish_output();
}

/* Options that are short for --set. */
static const struct run_flag {
    const char *option, *assignment;
} run_flags[] = {
    {"--stats", "stats=1"}, {"--stats=all", "stats=all"}, {"--children", "stats_children=1"}, {"--check", "check=1"}};
enum { RUN_FLAGS = sizeof run_flags / sizeof run_flags[0] };

static const char run_hint[] = "try 'hakmem run --help'";

static bool with_sites; /* the option --sites */

/* Handles the option at the head of *arguments and moves past it; a status. */
static int run_option(char ***arguments)
{
    const char *option = *(*arguments)++;
    if (strcmp(option, "--sites") == 0) {
        with_sites = true;
        return 0;
    }
    for (size_t i = 0; i < RUN_FLAGS; i++)
        if (strcmp(option, run_flags[i].option) == 0)
            return option_set(run_flags[i].assignment);
    if (strncmp(option, "--set=", 6) == 0)
        return option_set(option + 6);
    if (strcmp(option, "--set") != 0)
        return complain(STATUS_FAILED, run_hint, "run: no option '%s'", option);
    if (!**arguments)
        return complain(STATUS_FAILED, run_hint, "run: --set takes NAME=VALUE");
    return option_set(*(*arguments)++);
}

/* Replaces this process by the program; returns only a status. */
static int program_exec(char **arguments)
{
    execvp(arguments[0], arguments);
    return complain(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE, NULL, "cannot run '%s': %s",
                    arguments[0], strerror(errno));
}

static pid_t program_beside; /* that runs beside this process */

static void signal_pass_on(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code <= 0) /* of a process; what the kernel sends, for the terminal, goes to the program anyway */
        kill(program_beside, number);
}

/* What is sent to this process is meant for the program. */
static void signals_pass_on(void)
{
    static const int numbers[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_sigaction = signal_pass_on, .sa_flags = SA_RESTART | SA_SIGINFO};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaction(numbers[i], &action, NULL);
}

/* By the signal that ended the program, but without a core file of ours. */
static int end_as_program(int status)
{
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return STATUS_FAILED;
}

/* Waits until the program has ended: its wait status. */
static int program_await(void)
{
    int status = 0;
    while (waitpid(program_beside, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

/* Whether the program is to say at exit where its memory is: not if a process above has claimed that ("1@4711"). */
static bool with_stats(void)
{
    static const struct {
        const char *word;
        enum option_kind kind;
        const char *value;
    } words[] = {
#define X(id, name, kind, value, min, max, doc)
#define W(word, kind, value) {word, kind, #value},
#include "system/options.def"
#undef X
#undef W
    };
    const char *stats = getenv("HAKMEM_STATS");
    for (size_t i = 0; stats && i < sizeof words / sizeof words[0]; i++)
        if ((words[i].kind == FLAG || words[i].kind == DETAIL) && strcasecmp(stats, words[i].word) == 0)
            return strcmp(words[i].value, "0") != 0;
    return false;
}

/* Runs the program beside this process and ends as it did. */
static int program_run_beside(char **arguments)
{
    int reader = -1, writer = -1;
    int error = with_sites ? sites_prepare(&reader, &writer) : 0;
    if (error)
        return complain(STATUS_FAILED, NULL, "--sites: cannot make a pipe: %s", strerror(error));
    int status = with_stats() ? last_prepare() : 0;
    if (status != 0)
        return status;
    program_beside = fork();
    if (program_beside < 0)
        return complain(STATUS_FAILED, NULL, "cannot start a process: %s", strerror(errno));
    if (program_beside == 0) {
        status = with_stats() ? last_announce() : 0;
        _exit(status != 0 ? status : program_exec(arguments));
    }
    signals_pass_on();
    if (with_sites)
        close(writer);
    status = with_sites ? sites_relay(reader, program_beside) : program_await();
    if (with_stats())
        last_say(program_beside, status);
    return end_as_program(status);
}

/* Runs the program at *arguments on the library, in place of this process or, with --sites or --stats, beside it; a
 * status. */
static int program_run(char **arguments)
{
    int status = library_preload();
    if (status != 0)
        return status;
    program_warn(arguments[0]);
    return with_sites || with_stats() ? program_run_beside(arguments) : program_exec(arguments);
}

static int command_run(char **arguments)
{
    while (*arguments && (*arguments)[0] == '-') {
        if (strcmp(*arguments, "--help") == 0 || strcmp(*arguments, "-h") == 0)
            return run_help();
        if (strcmp(*arguments, "--") == 0) {
            arguments++;
            break;
        }
        int status = run_option(&arguments);
        if (status != 0)
            return status;
    }
    if (!*arguments)
        return complain(STATUS_FAILED, run_hint, "run: no program given");
    return program_run(arguments);
}

/* ---- hakmem explain ---------------------------------------------------------------------------------------------- */

static int explain_help(void)
{
    puts("usage: hakmem explain [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
         "\n"
         "Runs PROGRAM as 'hakmem run' does; at its exit, the library says on stderr how\n"
         "it fitted its caches to the program: the policy in force, and each decision with\n"
         "its reason and its measured effect.\n"
         "\n"
         "options:\n"
         "  --json            one line of JSON, the last on stderr\n"
         "  --shadow          decide and tell, but change nothing; same as --set\n"
         "                    learn=shadow\n"
         "  --set NAME=VALUE  set an option of the library; may be repeated\n"
         "  -h, --help        show this text\n"
         "\n"
         "names for --set:");
    rows_print(false);
    puts("\n"
         "for experts, who know better than the learner where to begin and how far to go:");
    rows_print(true);
    puts("\n"
         "examples:\n"
         "  hakmem explain -- redis-server --port 7777\n"
         "  hakmem explain --set profile=redis.profile -- redis-server\n"
         "                                          learn, and begin with it the next time\n"
         "  hakmem explain --json -- ./server 2>&1 >/dev/null | tail -1 | jq .decisions");
    return finish_output();
}

/* Options of explain that are short for --set. */
static const struct run_flag explain_flags[] = {{"--json", "explain=json"}, {"--shadow", "learn=shadow"}};
enum { EXPLAIN_FLAGS = sizeof explain_flags / sizeof explain_flags[0] };

/* Handles the option at the head of *arguments and moves past it; a status. */
static int explain_option(char ***arguments)
{
    static const char hint[] = "try 'hakmem explain --help'";
    const char *option = *(*arguments)++;
    for (size_t i = 0; i < EXPLAIN_FLAGS; i++)
        if (strcmp(option, explain_flags[i].option) == 0)
            return option_set(explain_flags[i].assignment);
    if (strcmp(option, "--set") == 0 && **arguments)
        return option_set(*(*arguments)++);
    return complain(STATUS_FAILED, hint, "explain: no option '%s', or its value is missing", option);
}

static int command_explain(char **arguments)
{
    int status = option_set("explain=on");
    while (status == 0 && *arguments && (*arguments)[0] == '-') {
        if (strcmp(*arguments, "--help") == 0 || strcmp(*arguments, "-h") == 0)
            return explain_help();
        if (strcmp(*arguments, "--") == 0) {
            arguments++;
            break;
        }
        status = explain_option(&arguments);
    }
    if (status != 0)
        return status;
    return *arguments ? program_run(arguments)
                      : complain(STATUS_FAILED, "try 'hakmem explain --help'", "explain: no program given");
}

/* ---- hakmem bench, hakmem compare -------------------------------------------------------------------------------- */

/* Python cannot begin with a directory there, and would say so at length. */
static bool is_input_a_directory(void)
{
    struct stat info;
    return fstat(STDIN_FILENO, &info) == 0 && S_ISDIR(info.st_mode);
}

/* A signal that comes while Python starts would make it print a traceback: it waits until lab.py takes it. */
static void signals_hold(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Replaces this process by the lab, which parses the arguments itself. */
static int lab_start(const char *command, char **arguments)
{
    char lab[PATH_MAX], library[PATH_MAX], workloads[PATH_MAX], tool[PATH_MAX];
    if (is_input_a_directory())
        return complain(STATUS_FAILED, NULL, "standard input is a directory");
    if (!file_find(lab, lab_places, "lab.py"))
        return complain(STATUS_FAILED, NULL, "the bench lab is neither in ../share/hakmem from here, nor in %s/hakmem",
                        HAK_DATADIR);
    int status = library_find(library);
    if (status != 0)
        return status;

    ssize_t tool_length = readlink("/proc/self/exe", tool, sizeof tool - 1);
    if (tool_length < 0)
        return complain(STATUS_FAILED, NULL, "cannot find this program in /proc: %s", strerror(errno));
    tool[tool_length] = '\0';

    size_t count = 0;
    while (arguments[count])
        count++;
    /* Of Python's own variables none is for the lab (-E); what it runs gets them. It needs none of the packages that
     * are installed, which take time to look for (-s -S), and writes nothing beside the lab (-B). UTF-8 whatever the
     * locale, so that every name of a file and every argument comes out as it went in. */
    const char *const own[] = {"python3", "-E",     "-s", "-S",       "-B",    "-X",          "utf8",   lab,
                               command,   "--tool", tool, "--hakmem", library, "--workloads", workloads};
    size_t own_count = sizeof own / sizeof own[0];
    /* `bench` does without the workloads where they are not installed. */
    if (!file_find(workloads, workloads_places, "hakmem-workloads"))
        own_count -= 2;
    const char **list = calloc(own_count + count + 1, sizeof *list);
    if (!list)
        return complain(STATUS_FAILED, NULL, "no memory");
    memcpy(list, own, own_count * sizeof *list);
    memcpy(list + own_count, arguments, count * sizeof *list);
    signals_hold();
    execvp(list[0], (char *const *)list);
    return complain(STATUS_FAILED, NULL, "%s needs python3, which cannot be run: %s", command, strerror(errno));
}

static int command_bench(char **arguments) { return lab_start("bench", arguments); }
static int command_compare(char **arguments) { return lab_start("compare", arguments); }

/* ---- hakmem launch: what the lab starts programs with ------------------------------------------------------------ */

/* A counter, off until the program's execve, of what the program and its children cause: `event` is perf_event_open's
 * type and config as "type:config". -1 where there is none, as in most virtual machines. */
static int launch_counter(const char *event)
{
    struct perf_event_attr attributes = {.size = PERF_ATTR_SIZE_VER1};
    attributes.type = (unsigned)atoi(event);
    attributes.config = (unsigned)atoi(event + strcspn(event, ":") + 1);
    attributes.disabled = attributes.inherit = attributes.enable_on_exec = 1;
    attributes.exclude_kernel = attributes.type == PERF_TYPE_HARDWARE;
    attributes.exclude_hv = 1;
    return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static long long launch_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long microseconds(struct timeval time) { return time.tv_sec * 1000000LL + time.tv_usec; }

/* Waits for the program; a line about its end: when (ns), its wait status, user and system time (us), peak memory
 * (KiB), page faults and context switches of both kinds, and what was counted, or -1. */
static void launch_finish(int report, pid_t program, int counter)
{
    struct rusage usage;
    int status;
    while (wait4(program, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    long long end = launch_now(), count = -1;
    if (counter >= 0 && read(counter, &count, sizeof count) != (ssize_t)sizeof count)
        count = -1;
    dprintf(report, "%lld %d %lld %lld %ld %ld %ld %ld %ld %lld\n", end, status, microseconds(usage.ru_utime),
            microseconds(usage.ru_stime), usage.ru_maxrss, usage.ru_minflt, usage.ru_majflt, usage.ru_nvcsw,
            usage.ru_nivcsw, count);
}

/* Runs the program in a session of its own, and tells of its process and when it began, or the error, and its end. With
 * posix_spawn, since a fork's page faults would count as the program's. */
static void launch_program(int report, const char *event, char **arguments)
{
    int counter = launch_counter(event);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    pid_t program = 0;
    long long start = launch_now();
    int error = posix_spawnp(&program, arguments[0], NULL, &attributes, arguments, environ);
    dprintf(report, "%d %lld %d\n", error ? 0 : (int)program, start, error);
    if (!error)
        launch_finish(report, program, counter);
}

/* launch DESCRIPTOR EVENT [NAME=VALUE...] -- PROGRAM [ARGUMENT...]: launch_program, for the lab, which reads from the
 * descriptor. Not the lab itself: what a process had in memory at its peak survives execve, and a Python has much. Nor
 * this process, whose start has touched more pages of its libraries than a child of it does: what is left, a megabyte,
 * is what a program without work of its own has, too. */
static int command_launch(char **arguments)
{
    int report = arguments[0] && arguments[1] ? atoi(arguments[0]) : -1;
    if (report < 0)
        return complain(STATUS_FAILED, NULL, "launch: for the lab only");
    const char *event = arguments[1];
    for (arguments += 2; *arguments && strcmp(*arguments, "--") != 0; arguments++)
        if (putenv(*arguments) != 0)
            return complain(STATUS_FAILED, NULL, "launch: cannot set '%s': %s", *arguments, strerror(errno));
    if (!*arguments || !arguments[1])
        return complain(STATUS_FAILED, NULL, "launch: for the lab only");

    fcntl(report, F_SETFD, FD_CLOEXEC);
    pid_t child = fork();
    if (child < 0)
        return complain(STATUS_FAILED, NULL, "cannot start a process: %s", strerror(errno));
    if (child == 0) {
        launch_program(report, event, arguments + 1);
        _exit(0);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    return 0;
}

/* ---- Commands ---------------------------------------------------------------------------------------------------- */

static const struct command {
    const char *name, *summary; /* without a summary it is not for people */
    int (*run)(char **arguments);
} commands[] = {
    {"run", "run a program on hakmem", command_run},
    {"compare", "which allocator is best for a program, or whether it makes no difference", command_compare},
    {"bench", "measure hakmem and other allocators on workloads and on real programs", command_bench},
    {"explain", "run a program, and say how hakmem fitted itself to it and why", command_explain},
    {"top", "show all processes that run on hakmem", command_top},
    {"stats", "show the memory of a process by what it is used for, also for programs and Prometheus", command_stats},
    {"why", "say where the memory of a process is, running or dead, and what to do about it", command_why},
    {"trim", "have a process give back to the system what is free", command_trim},
    {"heap", "who holds the memory of a process: a table, a flame graph, a profile for pprof", command_heap},
    {"leaks", "what grows in a process and does not end", command_leaks},
    {"serve", "figures and heap profiles of all processes for Prometheus and browsers, on the loopback", command_serve},
    {"launch", NULL, command_launch},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static int help(void)
{
    puts("usage: hakmem COMMAND [ARGUMENT...]\n"
         "       hakmem --help | --version\n"
         "\n"
         "commands:");
    for (size_t i = 0; i < COMMANDS; i++)
        if (commands[i].summary)
            text_wrap_behind(stdout, commands[i].summary, "  %-8s  ", commands[i].name);
    puts("\n"
         "'hakmem COMMAND --help' shows a command's options and examples; see also\n"
         "hakmem(1).");
    return finish_output();
}

int main(int argc, char **argv)
{
    static const char hint[] = "try 'hakmem --help'";
    if (argc < 2)
        return complain(STATUS_USAGE, hint, "no command given");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help();
    if (strcmp(argv[1], "--version") == 0) {
        printf("hakmem %d.%d.%d\n", HAKMEM_VERSION_MAJOR, HAKMEM_VERSION_MINOR, HAKMEM_VERSION_PATCH);
        return finish_output();
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argv + 2);
    return complain(STATUS_USAGE, hint, "no %s '%s'", argv[1][0] == '-' ? "option" : "command", argv[1]);
}
