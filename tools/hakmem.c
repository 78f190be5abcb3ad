/* hakmem - the command. `hakmem run program` runs a program on libhakmem by preloading it; `hakmem bench` and
 * `hakmem compare` start the bench lab, which is written in Python, and tell it where the library is.
 *
 * The program replaces this process, so that its exit status, its signals and its terminal are its own; but with
 * --sites this process waits, to put names into the table that the program writes at its end. A command is a row of
 * `commands`; the options for --set are the rows of src/system/options.def.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "hakmem.h"
#include "sites.h"
#include "base/word.h"

/* As env(1) and timeout(1) have them, so that a program's own status can be told from ours. */
enum { STATUS_USAGE = 2, STATUS_FAILED = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

/* One line on stderr, and perhaps a second one that says where help is; returns `status`. */
__attribute__((format(printf, 3, 4))) static int complain(int status, const char *hint, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("hakmem: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    if (hint)
        fprintf(stderr, "%s\n", hint);
    return status;
}

/* Output that nobody received is a failure too. */
static int finish_output(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return complain(STATUS_FAILED, NULL, "cannot write to standard output: %s", strerror(errno));
    return 0;
}

/* ---- The library's options --------------------------------------------------------------------------------------- */

enum option_kind { FLAG, COUNT, SHARE, SIZE, PATH, LIST, LEARN, REPORT };

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

static unsigned distance(const char *name, const struct option_row *row)
{
    return word_distance(name, strlen(name), row->name);
}

static const struct option_row *option_nearest(const char *name)
{
    const struct option_row *best = &option_rows[0];
    for (size_t i = 1; i < OPTION_ROWS; i++)
        if (distance(name, &option_rows[i]) < distance(name, best))
            best = &option_rows[i];
    return best;
}

/* Puts "name=value" into the environment; a status. The library itself judges the value, when the program starts. */
static int option_set(const char *assignment)
{
    size_t length = strcspn(assignment, "=");
    if (assignment[length] == '\0')
        return complain(STATUS_FAILED, NULL, "--set takes NAME=VALUE, not '%s'", assignment);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name), assignment);
    const struct option_row *row = option_nearest(name);
    if (strcmp(row->name, name) != 0)
        return complain(STATUS_FAILED, "'hakmem run --help' lists all names",
                        "--set: no option '%s'; the nearest is '%s'", name, row->name);
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
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO is no program, and no reason to wait */
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

/* ---- The names for --set ------------------------------------------------------------------------------------------- */

static void row_print(const struct option_row *row)
{
    printf("  %-17s  %s", row->name, row->doc);
    if (row->kind == FLAG || row->kind == COUNT)
        printf(" (%llu to %llu, default %llu)", row->min, row->max, row->value);
    else if (row->kind == SHARE)
        printf(" (%.2f to %.2f, default %.2f)", (double)row->min / 100, (double)row->max / 100,
               (double)row->value / 100);
    puts("");
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
         "Runs PROGRAM, and every program that it starts, with hakmem in place of malloc: libhakmem is put in front\n"
         "of LD_PRELOAD.\n"
         "\n"
         "options:\n"
         "  --stats           same as --set stats=1: a table of statistics on stderr at exit\n"
         "  --check           same as --set check=1: stop at the first misuse of memory that can be found\n"
         "  --sites           as --set sites=1, with names: which callers of malloc hold most memory, on stderr at "
         "exit\n"
         "  --set NAME=VALUE  set an option of the library; may be repeated\n"
         "  -h, --help        show this text\n"
         "\n"
         "names for --set ('hakmem explain --help' has more, for experts):");
    rows_print(false);
    puts("\n"
         "exit status:\n"
         "  that of PROGRAM; 127 when it is not found, 126 when it cannot be executed, 125 when hakmem itself fails\n"
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
} run_flags[] = {{"--stats", "stats=1"}, {"--check", "check=1"}};
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

static pid_t sites_child;

static void signal_pass_on(int number) { kill(sites_child, number); }

/* What the terminal sends goes to the program anyway; what is sent to this process is meant for the program. */
static void signals_pass_on(void)
{
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    struct sigaction action = {.sa_handler = signal_pass_on, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* Runs the program beside this process and ends as it did. */
static int program_run_with_sites(char **arguments)
{
    int reader, writer;
    int error = sites_prepare(&reader, &writer);
    if (error)
        return complain(STATUS_FAILED, NULL, "--sites: cannot make a pipe: %s", strerror(error));
    sites_child = fork();
    if (sites_child < 0)
        return complain(STATUS_FAILED, NULL, "--sites: cannot start a process: %s", strerror(errno));
    if (sites_child == 0)
        _exit(program_exec(arguments));
    signals_pass_on();
    close(writer);
    int status = sites_relay(reader, sites_child);
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}

/* Runs the program at *arguments on the library, in place of this process or, with --sites, beside it; a status. */
static int program_run(char **arguments)
{
    int status = library_preload();
    if (status != 0)
        return status;
    program_warn(arguments[0]);
    return with_sites ? program_run_with_sites(arguments) : program_exec(arguments);
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
    puts("usage: hakmem explain [--json] [--shadow] [--set NAME=VALUE]... [--] PROGRAM [ARGUMENT...]\n"
         "\n"
         "Runs PROGRAM as 'hakmem run' does; at its exit, the library says on stderr how it fitted its caches to the\n"
         "program: the policy in force, and each decision with its reason and its measured effect.\n"
         "\n"
         "options:\n"
         "  --json            one line of JSON, the last on stderr\n"
         "  --shadow          decide and tell, but change nothing; same as --set learn=shadow\n"
         "  --set NAME=VALUE  set an option of the library; may be repeated\n"
         "  -h, --help        show this text\n"
         "\n"
         "names for --set:");
    rows_print(false);
    puts("\nfor experts, who know better than the learner where it begins and how far it may go:");
    rows_print(true);
    puts("\n"
         "examples:\n"
         "  hakmem explain -- redis-server --port 7777\n"
         "  hakmem explain --set profile=redis.profile -- redis-server    learn, and begin with it the next time\n"
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
    /* Of Python's own variables none is for the lab (-E); what it runs gets them. It needs none of the packages that are
     * installed, which take time to look for (-s -S), and writes nothing beside the lab (-B). UTF-8 whatever the locale,
     * so that every name of a file and every argument comes out as it went in. */
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

/* Tells the lab the program's process and when it began, and, when it cannot be executed, the error. The descriptor
 * closes when it can. */
static void launched_exec(int report, char **arguments)
{
    struct timespec now;
    setsid();
    fcntl(report, F_SETFD, FD_CLOEXEC);
    clock_gettime(CLOCK_MONOTONIC, &now);
    dprintf(report, "%d %lld\n", (int)getpid(), now.tv_sec * 1000000000LL + now.tv_nsec);
    execvp(arguments[0], arguments);
    dprintf(report, "%d\n", errno);
    _exit(STATUS_NOT_EXECUTABLE);
}

/* launch DESCRIPTOR [NAME=VALUE...] -- PROGRAM [ARGUMENT...]: PROGRAM, in a session of its own, is left to the lab as
 * an orphan. Not by the lab itself: what a process had in memory at its peak survives execve, and a Python has much. */
static int command_launch(char **arguments)
{
    int report = *arguments ? atoi(*arguments++) : -1;
    for (; *arguments && strcmp(*arguments, "--") != 0; arguments++)
        if (putenv(*arguments) != 0)
            return complain(STATUS_FAILED, NULL, "launch: cannot set '%s': %s", *arguments, strerror(errno));
    if (report < 0 || !*arguments || !arguments[1])
        return complain(STATUS_FAILED, NULL, "launch: for the lab only");
    pid_t child = fork();
    if (child < 0)
        return complain(STATUS_FAILED, NULL, "cannot start a process: %s", strerror(errno));
    if (child == 0)
        launched_exec(report, arguments + 1);
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
            printf("  %-8s  %s\n", commands[i].name, commands[i].summary);
    puts("\n"
         "'hakmem COMMAND --help' shows a command's options and examples; see also hakmem(1).");
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
