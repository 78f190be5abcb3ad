/* top.c - see top.h. A terminal shows the table anew every other second, until it is told to quit; anything else gets
 * it once.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "memory/top.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "present.h"
#include "read/processes.h"
#include "tool.h"

static const struct column {
    char letter;
    const char *option, *title;
    int width; /* -1: what is left */
    const char *doc;
} columns[] = {
#define X(letter, option, title, width, doc) {letter, option, title, width, doc},
    PROCESSES_COLUMNS(X)
#undef X
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

struct wish {
    bool once;
    char sort;
    int every; /* milliseconds */
};

static int top_help(void)
{
    puts("usage: hakmem top [--once] [--sort COLUMN] [--every SECONDS]\n"
         "\n"
         "Shows all processes of the machine that run on hakmem and that may be looked at:\n"
         "your own, unless kernel.yama.ptrace_scope forbids it; for root all. None of them\n"
         "is disturbed.\n"
         "\n"
         "options:\n"
         "  --once           one table, and no more; so it is, too, when the output is no\n"
         "                   terminal\n"
         "  --sort COLUMN    a name of the list below; resident, if it is not given\n"
         "  --every SECONDS  a new table after so long, 2 if it is not given\n"
         "  -h, --help       show this text\n"
         "\n"
         "columns, and the keys that sort by them:");
    for (int i = 0; i < COLUMNS; i++)
        text_wrap_behind(stdout, columns[i].doc, "  %c  %-9s  ", columns[i].letter, columns[i].option);
    puts("\n"
         "q ends it, the space bar makes a new table at once.");
    return finish_output();
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

/* "812.3M", with a sign where it grows or shrinks. */
static void amount_print(int width, double bytes, bool is_change)
{
    static const char units[] = "KMGT";
    char text[32];
    double size = (bytes < 0 ? -bytes : bytes) / 1024;
    unsigned unit = 0;
    for (; unit < 3 && size >= 999.95; unit++)
        size /= 1024;
    snprintf(text, sizeof text, "%s%.1f%c",
             size < 0.05 || (!is_change && bytes >= 0) ? ""
             : bytes < 0                               ? "-"
                                                       : "+",
             size, units[unit]);
    printf(" %*s", width, text);
}

static void titles_print(char sort, bool with_colour)
{
    for (int i = 0; i < COLUMNS; i++) {
        bool is_marked = with_colour && columns[i].letter == sort;
        fputs(is_marked ? " \033[1m" : " ", stdout);
        printf("%*s", columns[i].width > 0 ? columns[i].width : 0, columns[i].title);
        fputs(is_marked ? "\033[0m" : "", stdout);
    }
}

/* What the column says of the process. */
static void cell_print(const struct process *process, const struct column *column, int left)
{
    switch (column->letter) {
    case 'n': printf(" %*d", column->width, (int)process->id); break;
    case 'r': amount_print(column->width, (double)process->resident, false); break;
    case 'l': amount_print(column->width, (double)process->live, false); break;
    case 'f': amount_print(column->width, (double)process->free, false); break;
    case 'p': amount_print(column->width, (double)process->peak, false); break;
    case 'g': amount_print(column->width, (double)process->growth, true); break;
    case 'i':
        if (process->limit > 0)
            amount_print(column->width, (double)process->limit, false);
        else
            printf(" %*s", column->width, "-");
        break;
    case 's':
        if (process->pressure >= 0)
            printf(" %*.1f", column->width, process->pressure);
        else
            printf(" %*s", column->width, "-");
        break;
    default: printf(" %.*s", left, process->program); break;
    }
}

static void process_print(const struct process *process, int width)
{
    enum { LEAST = 8 }; /* characters of the program's name */
    int left = width - 1;
    for (int i = 0; i < COLUMNS; i++)
        left -= columns[i].width > 0 ? columns[i].width + 1 : 0;
    for (int i = 0; i < COLUMNS; i++)
        cell_print(process, &columns[i], left > LEAST ? left : LEAST);
}

static void refused_print(const struct processes *processes, const char *end)
{
    if (processes->refused > 0)
        printf("%zu %s not be looked at; %s%s", processes->refused,
               processes->refused == 1 ? "process may" : "processes may",
               geteuid() == 0 ? "they have more rights than this one" : "root may, and who has CAP_SYS_PTRACE", end);
}

static int table_print_once(const struct wish *wish)
{
    struct processes processes;
    if (!processes_read(&processes))
        return STATUS_FAILED;
    processes_sort(&processes, wish->sort);
    if (processes.count > 0) {
        titles_print(wish->sort, false);
        putchar('\n');
    } else {
        puts("no process that may be looked at runs on hakmem");
    }
    for (size_t i = 0; i < processes.count; i++) {
        process_print(&processes.process[i], PRESENT_WIDTH);
        putchar('\n');
    }
    refused_print(&processes, "\n");
    processes_free(&processes);
    return finish_output();
}

/* ---- The terminal ------------------------------------------------------------------------------------------------ */

static struct termios terminal_before;
static sigset_t signals_before;
static volatile sig_atomic_t was_ended, was_stopped;

static void end_note(int number) { was_ended = number; }
static void stop_note(int number) { was_stopped = number; }

/* Another screen, without a cursor, where keys come one by one. */
static void terminal_take(void)
{
    struct termios raw = terminal_before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    fputs("\033[?1049h\033[?25l", stdout);
}

static void terminal_give(void)
{
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal_before);
}

/* What would leave the terminal as it is interrupts the wait for keys, and comes at no other time. */
static void signals_take(void)
{
    static const struct taken {
        int number;
        void (*note)(int);
    } taken[] = {
        {SIGINT, end_note}, {SIGTERM, end_note}, {SIGHUP, end_note}, {SIGTSTP, stop_note}, {SIGWINCH, stop_note}};
    sigset_t held;
    sigemptyset(&held);
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        sigaction(taken[i].number, &(struct sigaction){.sa_handler = taken[i].note}, NULL);
        sigaddset(&held, taken[i].number);
    }
    sigprocmask(SIG_BLOCK, &held, &signals_before);
}

static void stop_obey(void)
{
    if (was_stopped == SIGTSTP) {
        terminal_give();
        raise(SIGSTOP);
        terminal_take();
    }
    was_stopped = 0;
}

static struct winsize terminal_size(void)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = PRESENT_WIDTH};
    return size;
}

/* The table as a screen; false when it cannot be made. */
static bool screen_draw(const struct wish *wish, bool with_colour)
{
    struct processes processes;
    struct winsize size = terminal_size();
    size_t room = size.ws_row > 4 ? (size_t)size.ws_row - 4 : 0;
    if (!processes_read(&processes))
        return false;
    processes_sort(&processes, wish->sort);
    printf("\033[H\033[J%zu on hakmem. ", processes.count);
    refused_print(&processes, ". ");
    fputs("\r\n\r\n", stdout);
    titles_print(wish->sort, with_colour);
    for (size_t i = 0; i < processes.count && i < room; i++) {
        fputs("\r\n", stdout);
        process_print(&processes.process[i], size.ws_col);
    }
    printf("\033[%u;1Hq quit", (unsigned)size.ws_row);
    for (int i = 0; i < COLUMNS; i++)
        printf(" %c %s", columns[i].letter, columns[i].option);
    fflush(stdout);
    processes_free(&processes);
    return true;
}

/* Waits for the time of the next table, or for a key, which it obeys; false: quit. */
static bool key_obey(struct wish *wish)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    struct timespec time = {.tv_sec = wish->every / 1000, .tv_nsec = wish->every % 1000 * 1000000L};
    char key = 0;
    if (ppoll(&input, 1, &time, &signals_before) > 0 && read(STDIN_FILENO, &key, 1) <= 0)
        return false;
    for (int i = 0; i < COLUMNS; i++)
        if (columns[i].letter == key)
            wish->sort = key;
    return key != 'q' && key != 'Q';
}

static int top_watch(struct wish *wish)
{
    const char *no_colour = getenv("NO_COLOR");
    bool with_colour = !no_colour || !*no_colour, is_drawn;
    signals_take();
    terminal_take();
    do {
        stop_obey();
        is_drawn = screen_draw(wish, with_colour);
    } while (is_drawn && key_obey(wish) && !was_ended);
    terminal_give();
    if (was_ended) {
        signal(was_ended, SIG_DFL);
        sigprocmask(SIG_SETMASK, &signals_before, NULL);
        raise(was_ended);
    }
    return is_drawn ? 0 : STATUS_FAILED;
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static const char hint[] = "try 'hakmem top --help'";

static int sort_take(struct wish *wish, const char *name)
{
    for (int i = 0; name && i < COLUMNS; i++)
        if (strcmp(columns[i].option, name) == 0) {
            wish->sort = columns[i].letter;
            return 0;
        }
    return complain(STATUS_USAGE, hint, "top: --sort takes the name of a column, not '%s'", name ? name : "");
}

static int every_take(struct wish *wish, const char *text)
{
    char *end;
    double seconds = text ? strtod(text, &end) : 0;
    if (!(seconds >= 0.1 && seconds <= 86400) || *end != '\0')
        return complain(STATUS_USAGE, hint, "top: --every takes seconds, from 0.1 to 86400");
    wish->every = (int)(seconds * 1000);
    return 0;
}

int command_top(char **arguments)
{
    struct wish wish = {.sort = 'r', .every = 2000};
    for (int status = 0; *arguments; arguments++) {
        if (strcmp(*arguments, "--help") == 0 || strcmp(*arguments, "-h") == 0)
            return top_help();
        if (strcmp(*arguments, "--once") == 0)
            wish.once = true;
        else if (strcmp(*arguments, "--sort") == 0)
            status = sort_take(&wish, *++arguments);
        else if (strcmp(*arguments, "--every") == 0)
            status = every_take(&wish, *++arguments);
        else
            status = complain(STATUS_USAGE, hint, "top: %s '%s'",
                              **arguments == '-' ? "no option" : "takes no argument", *arguments);
        if (status != 0)
            return status;
    }
    if (wish.once || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &terminal_before) != 0)
        return table_print_once(&wish);
    return top_watch(&wish);
}
