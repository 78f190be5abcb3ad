/* heap.c - hakmem heap: the heap profile of a process, of one that has died, or of a core file.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "profile/heap.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "names/debuginfo.h"
#include "present.h"
#include "profile/count.h"
#include "profile/profile.h"
#include "read/source.h"
#include "tool.h"

static const char hint[] = "try 'hakmem heap --help'";

size_t output_width(void)
{
    enum { NARROW = 40, USUAL = 80 };
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    size_t width = USUAL;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        width = size.ws_col;
    else if (columns && atoi(columns) > 0)
        width = (size_t)atoi(columns);
    return width < NARROW ? NARROW : width;
}

/* ---- What is asked for ------------------------------------------------------------------------------------------- */

struct request {
    struct profile_wish wish;            /* PROFILE_VALUES: no value was said yet */
    const struct profile_format *format; /* NULL: not said */
    const char *output;                  /* NULL: standard output */
    const char *earlier;                 /* NULL: no comparison */
    double seconds;                      /* for which allocations are to be counted; 0: not now */
    const char *what;
};

static int heap_help(void)
{
    puts("usage: hakmem heap [OPTION...] PID|RECORD|CORE|PROFILE.json\n"
         "       hakmem heap [OPTION...] --diff BEFORE AFTER\n"
         "\n"
         "Shows which functions hold the memory of a process that runs on hakmem, by its\n"
         "samples. A RECORD is the file that HAKMEM_RECORD names; it may be of a process\n"
         "that was killed.\n"
         "\n"
         "options:\n"
         "  -o, --output FILE  write to FILE, in the format that its name ends in\n"
         "  --format FORMAT    table (.txt), folded (.folded: stacks, one a line), pprof\n"
         "                     (.pb.gz), html (.html: a flame graph for any browser), json\n"
         "                     (.json: all that is known)\n"
         "  --value VALUE      what is counted; otherwise 'live':");
    for (size_t i = 0; i < PROFILE_VALUES; i++)
        text_wrap_behind(stdout, profile_value_rows[i].doc, "%21s%-11s  ", "", profile_value_rows[i].name);
    puts("  --for SECONDS      have a process that runs count for so long what it\n"
         "                     allocates, freed or not; the value is 'allocated' then, if\n"
         "                     none is given; Ctrl-C ends it sooner\n"
         "  --by-thread        each thread by itself; what has ended, was allocated in\n"
         "                     total, or was at the peak is not known by thread\n"
         "  --top NUMBER       lines of the table, 0 for all; otherwise 20\n"
         "  --diff BEFORE      what grew since: BEFORE is a record or a profile in JSON\n"
         "  -h, --help         show this text\n"
         "\n"
         "examples:\n"
         "  hakmem heap 4711\n"
         "  hakmem heap 4711 -o heap.html\n"
         "  hakmem heap --value peak /var/tmp/server.record\n"
         "  hakmem heap 4711 --for 10\n"
         "  hakmem heap 4711 -o monday.json\n"
         "  hakmem heap --diff monday.json 4711\n"
         "  hakmem heap 4711 -o heap.pb.gz && go tool pprof -http : heap.pb.gz");
    return finish_output();
}

static int value_choose(struct request *request, const char *name)
{
    if (profile_value_named(name, &request->wish.value))
        return 0;
    return complain(STATUS_USAGE, hint, "heap: no value '%s'", name);
}

static int format_choose(struct request *request, const char *name)
{
    request->format = profile_format_named(name);
    return request->format ? 0 : complain(STATUS_USAGE, hint, "heap: no format '%s'", name);
}

static int most_choose(struct request *request, const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0')
        return complain(STATUS_USAGE, hint, "heap: --top takes a number, not '%s'", text);
    request->wish.most = number;
    return 0;
}

static int seconds_choose(struct request *request, const char *text)
{
    char *end;
    request->seconds = strtod(text, &end);
    if (*text < '0' || *text > '9' || *end != '\0' || !(request->seconds > 0 && request->seconds <= 1e6))
        return complain(STATUS_USAGE, hint, "heap: --for takes seconds, not '%s'", text);
    return 0;
}

enum { OPTION_FORMAT = 256, OPTION_VALUE, OPTION_FOR, OPTION_BY_THREAD, OPTION_TOP, OPTION_DIFF };

static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                        {"format", required_argument, NULL, OPTION_FORMAT},
                                        {"value", required_argument, NULL, OPTION_VALUE},
                                        {"for", required_argument, NULL, OPTION_FOR},
                                        {"by-thread", no_argument, NULL, OPTION_BY_THREAD},
                                        {"top", required_argument, NULL, OPTION_TOP},
                                        {"diff", required_argument, NULL, OPTION_DIFF},
                                        {0}};

/* What getopt complains of: a letter, perhaps one of several behind a '-', else the whole word. */
static const char *option_refused(const char *word)
{
    static char letter[] = "-?";
    if (optopt <= 0 || optopt >= OPTION_FORMAT)
        return word;
    letter[1] = (char)optopt;
    return letter;
}

static int option_take(struct request *request, int option, const char *word)
{
    switch (option) {
    case 'o':
        request->output = optarg;
        return 0;
    case OPTION_FORMAT:
        return format_choose(request, optarg);
    case OPTION_VALUE:
        return value_choose(request, optarg);
    case OPTION_FOR:
        return seconds_choose(request, optarg);
    case OPTION_BY_THREAD:
        request->wish.by_thread = true;
        return 0;
    case OPTION_TOP:
        return most_choose(request, optarg);
    case OPTION_DIFF:
        request->earlier = optarg;
        return 0;
    case ':':
        return complain(STATUS_USAGE, hint, "heap: '%s' takes a value", option_refused(word));
    default:
        return complain(STATUS_USAGE, hint, "heap: no option '%s'", option_refused(word));
    }
}

/* Takes the options, in any order with the one argument; a status. */
static int request_parse(struct request *request, int count, char **arguments)
{
    opterr = 0;
    optind = 1;
    for (int option; (option = getopt_long(count, arguments, ":o:", options, NULL)) >= 0;) {
        int status = option_take(request, option, arguments[optind - 1]);
        if (status != 0)
            return status;
    }
    if (optind == count)
        return complain(STATUS_USAGE, hint, "heap: no process, record or core file given");
    if (optind + 1 < count)
        return complain(STATUS_USAGE, hint, "heap: one process or file, not '%s' as well", arguments[optind + 1]);
    request->what = arguments[optind];
    if (request->wish.value == PROFILE_VALUES)
        request->wish.value = request->seconds > 0 ? VALUE_ALLOCATED : VALUE_LIVE;
    if (!request->format)
        request->format = request->output ? profile_format_of_file(request->output) : profile_format_named("table");
    if (!request->format)
        return complain(STATUS_USAGE, hint, "heap: no format is known by the name of '%s': add --format",
                        request->output);
    if (request->earlier && request->format != profile_format_named("table"))
        return complain(STATUS_USAGE, hint, "heap: --diff writes a table");
    if (request->earlier && request->seconds > 0)
        return complain(STATUS_USAGE, hint, "heap: --for looks at one process, --diff at two profiles");
    if (request->format->is_binary && !request->output && isatty(STDOUT_FILENO))
        return complain(STATUS_USAGE, hint, "heap: %s is not for terminals: add -o FILE", request->format->name);
    return 0;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static bool request_write(const struct request *request, const struct profile *earlier, const struct profile *profile,
                          FILE *to)
{
    if (earlier)
        return profile_write_growth(earlier, profile, &request->wish, to);
    return request->format->write(profile, &request->wish, to);
}

/* Whether the name may be given to another file, which gets the rights in *mode, or the usual (0): what is no file,
 * a link, or somebody else's keeps it. */
static bool is_replaceable(const char *name, mode_t *mode)
{
    struct stat info;
    *mode = 0;
    if (lstat(name, &info) != 0)
        return errno == ENOENT;
    *mode = info.st_mode & 0777;
    return S_ISREG(info.st_mode) && info.st_nlink == 1 && info.st_uid == geteuid();
}

/* A file to write to. *beside is its name when it gets the other one at the end only, so that a full disk leaves what
 * was there before; or NULL. */
static FILE *output_open(const char *name, char **beside)
{
    mode_t mode;
    *beside = is_replaceable(name, &mode) ? text_make("%s.%d.part", name, (int)getpid()) : NULL;
    int fd = *beside ? open(*beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666) : -1;
    if (fd >= 0 && mode != 0)
        fchmod(fd, mode);
    if (fd >= 0)
        return fdopen(fd, "w");
    free(*beside); /* a directory that takes no other file, perhaps */
    *beside = NULL;
    return fopen(name, "we");
}

/* 0, or the first error. */
static int output_close(FILE *to, const char *name, char *beside, bool is_whole)
{
    int error = fflush(to) != 0 || ferror(to) ? errno : 0;
    if (fclose(to) != 0 && error == 0)
        error = errno;
    if (beside && is_whole && error == 0 && rename(beside, name) != 0)
        error = errno;
    if (beside && (!is_whole || error != 0))
        unlink(beside);
    free(beside);
    return error;
}

/* Writes to where it was asked for; a status. */
static int request_output(const struct request *request, const struct profile *earlier, const struct profile *profile)
{
    char *beside = NULL;
    FILE *to = request->output ? output_open(request->output, &beside) : stdout;
    if (!to)
        return complain(STATUS_FAILED, NULL, "cannot write '%s': %s", request->output, strerror(errno));
    bool is_whole = request_write(request, earlier, profile, to);
    int error = request->output ? output_close(to, request->output, beside, is_whole) : 0;
    if (error != 0)
        return complain(STATUS_FAILED, NULL, "cannot write '%s': %s", request->output, strerror(error));
    if (!is_whole)
        return complain(STATUS_FAILED, NULL, "no memory for the profile");
    return request->output ? 0 : finish_output();
}

/* What is asked for and was never counted; a status. */
static int counting_check(const struct request *request, const struct profile *profile)
{
    if (!profile_value_is_counted(request->wish.value) || profile->counted > 0)
        return 0;
    return complain(STATUS_NO, "add --for 10, if it runs, or start the program with HAKMEM_ALLOCATED=1",
                    "what '%s' allocates in total was not counted", request->what);
}

static int request_serve(const struct request *request)
{
    int status = STATUS_NO;
    struct profile *earlier = request->earlier ? profile_open(request->earlier) : NULL;
    struct profile *profile = NULL;
    if (request->seconds > 0)
        profile = count_process(request->what, request->seconds);
    else if (!request->earlier || earlier)
        profile = profile_open(request->what);
    if (profile && debuginfo_obstacle())
        complain(0, NULL, "%s", debuginfo_obstacle());
    bool is_known = profile && counting_check(request, profile) == 0;
    if (is_known && profile->row_count == 0)
        complain(0, NULL, "'%s' has no samples yet: too little was allocated", request->what);
    if (is_known)
        status = request_output(request, earlier, profile);
    profile_free(profile);
    profile_free(earlier);
    return status;
}

static bool is_help(const char *argument) { return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0; }

int command_heap(char **arguments)
{
    struct request request = {.wish = {.value = PROFILE_VALUES, .most = 20, .width = output_width()}};
    int count = 1; /* getopt's first is the program's name, which stands before */
    for (; arguments[count - 1]; count++)
        if (is_help(arguments[count - 1]))
            return heap_help();
    int status = request_parse(&request, count, arguments - 1);
    return status == 0 ? request_serve(&request) : status;
}
