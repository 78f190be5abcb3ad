/* sites.c - see sites.h. Names come from addr2line(1), if it is installed: it reads symbol tables and debug information
 * of every kind, and the program itself need not be asked.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "sites.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- The pipe ---------------------------------------------------------------------------------------------------- */

/* Neither end is a standard stream, which may be closed: text for it would go into the pipe. */
static int pipe_make(int ends[2])
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0)
        return -1;
    for (int i = 0; i < 2; i++)
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(low[0]);
    close(low[1]);
    return ends[0] < 0 || ends[1] < 0 ? -1 : 0;
}

int sites_prepare(int *reader, int *writer)
{
    enum { HIGH = 700, LOW = 3 }; /* out of the way of programs that count on low numbers, as far as the limit allows */
    int ends[2];
    char number[16];
    if (pipe_make(ends) != 0)
        return errno;
    *reader = ends[0];
    *writer = -1;
    for (int least = HIGH; *writer < 0 && least >= LOW; least /= 2)
        *writer = fcntl(ends[1], F_DUPFD, least);
    int error = *writer < 0 ? errno : 0;
    close(ends[1]);
    snprintf(number, sizeof number, "%d", *writer);
    if (error == 0 && (setenv("HAKMEM_SITES", "1", 1) != 0 || setenv("HAKMEM_SITES_FD", number, 1) != 0))
        error = errno;
    return error;
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

/* The address that the file's own tables give to the byte at `offset` of it; 0 when it is no such file. */
static unsigned long long link_address(const char *path, unsigned long long offset)
{
    Elf64_Ehdr header;
    unsigned long long address = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return 0;
    bool is_elf = pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
                  memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64;
    for (unsigned i = 0; is_elf && i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        off_t place = (off_t)(header.e_phoff + (Elf64_Off)i * header.e_phentsize);
        if (pread(fd, &segment, sizeof segment, place) == (ssize_t)sizeof segment && segment.p_type == PT_LOAD &&
            offset >= segment.p_offset && offset < segment.p_offset + segment.p_filesz)
            address = offset - segment.p_offset + segment.p_vaddr;
    }
    close(fd);
    return address;
}

__attribute__((noreturn)) static void addr2line_exec(const char *path, const char *address, int output)
{
    unsetenv("LD_PRELOAD"); /* it is not the program that was asked about */
    dup2(output, STDOUT_FILENO);
    int null = open("/dev/null", O_WRONLY);
    if (null >= 0)
        dup2(null, STDERR_FILENO);
    execlp("addr2line", "addr2line", "-f", "-C", "-e", path, address, (char *)NULL);
    _exit(127);
}

/* What addr2line says of the address: "function\nfile:line\n"; empty when it cannot be asked. */
static void addr2line_ask(const char *path, unsigned long long address, char *answer, size_t size)
{
    int ends[2];
    char text[32];
    size_t length = 0;
    answer[0] = '\0';
    snprintf(text, sizeof text, "0x%llx", address);
    if (pipe_make(ends) != 0)
        return;
    pid_t child = fork();
    if (child == 0)
        addr2line_exec(path, text, ends[1]);
    close(ends[1]);
    for (ssize_t got; child > 0 && length < size - 1 && (got = read(ends[0], answer + length, size - 1 - length)) > 0;)
        length += (size_t)got;
    answer[length] = '\0';
    close(ends[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Prints "function (file:line)", or "function (module)"; false when no name is known. */
static bool name_print(const char *path, unsigned long long offset)
{
    char answer[4096];
    unsigned long long address = link_address(path, offset);
    if (address == 0)
        return false;
    addr2line_ask(path, address - 1, answer, sizeof answer); /* of the call, not of what it returns to */
    char *place = strchr(answer, '\n');
    if (!place || answer[0] == '?')
        return false;
    *place++ = '\0';
    place[strcspn(place, "\n")] = '\0';
    place[strcspn(place, " ")] = '\0'; /* "(discriminator 2)" */
    fprintf(stderr, "%s (%s)", answer, place[0] == '?' ? base_name(path) : base_name(place));
    return true;
}

/* Prints a line of the table; what ends in "/file+0xoffset" with a name instead. */
static void line_print(char *line)
{
    char *path = strchr(line, '/'), *plus = path ? strrchr(path, '+') : NULL;
    if (!plus || strncmp(plus, "+0x", 3) != 0) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    fprintf(stderr, "%.*s", (int)(path - line), line);
    *plus = '\0';
    if (!name_print(path, strtoull(plus + 1, NULL, 16)))
        fprintf(stderr, "%s+%s", path, plus + 1);
    fputc('\n', stderr);
}

/* ---- Relaying ---------------------------------------------------------------------------------------------------- */

struct report {
    char *text;
    size_t length, capacity;
};

/* Reads what there is; false at the end of the pipe, or when memory is out. */
static bool report_read(struct report *report, int reader)
{
    if (report->length + 4096 > report->capacity) {
        size_t capacity = report->capacity * 2 + 8192;
        char *text = realloc(report->text, capacity);
        if (!text)
            return false;
        report->text = text;
        report->capacity = capacity;
    }
    ssize_t got = read(reader, report->text + report->length, report->capacity - report->length - 1);
    if (got > 0)
        report->length += (size_t)got;
    return got > 0 || (got < 0 && errno == EINTR);
}

static void report_print(struct report *report)
{
    if (!report->text)
        return;
    report->text[report->length] = '\0';
    for (char *line = strtok(report->text, "\n"); line; line = strtok(NULL, "\n"))
        line_print(line);
    free(report->text);
}

int sites_relay(int reader, pid_t child)
{
    enum { LOOK_MILLISECONDS = 20 };
    struct report report = {0};
    struct pollfd wait = {.fd = reader, .events = POLLIN};
    int status = 0;
    bool ended = false, open = true;
    /* A program that this one leaves behind may keep the pipe open: nobody waits for that. */
    while (open || !ended) {
        int ready = open ? poll(&wait, 1, ended ? 0 : LOOK_MILLISECONDS) : 0;
        if (ready > 0)
            open = report_read(&report, reader);
        else if (ended)
            open = false;
        if (!ended)
            ended = waitpid(child, &status, open ? WNOHANG : 0) == child;
    }
    report_print(&report);
    return status;
}
