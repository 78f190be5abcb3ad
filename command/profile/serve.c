/* serve.c - see serve.h. A server of HTTP as small as it can be: it answers GET, one request for each connection, on
 * the loopback only, and to names of the loopback only, so that no page from elsewhere that has a name of its own for
 * this address gets anything.
 *
 * Each connection has a process of its own, with limits: neither a client that is slow, nor a process whose record or
 * debug information was made up to be without an end, keeps others from their answers.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "profile/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory/bill.h"
#include "present.h"
#include "read/processes.h"
#include "profile/profile.h"
#include "read/record.h"
#include "read/source.h"
#include "memory/stats.h"
#include "tool.h"

enum { REQUEST_SIZE = 8192, QUEUE = 16 };

/* A connection's: the answer's time is that of a debuginfod, too, which may have to send much. */
enum { REQUEST_SECONDS = 5, ANSWER_SECONDS = 300, CPU_SECONDS = 120 };
#define DATA_MOST (UINT64_C(4) << 30) /* bytes */
enum { CONNECTIONS_MOST = 32 };

/* What is sent. */
struct answer {
    int status;
    const char *words; /* of the status */
    const char *media;
    FILE *body;
};

static void answer_refuse(struct answer *answer, int status, const char *words, const char *why)
{
    answer->status = status;
    answer->words = words;
    answer->media = "text/plain; charset=utf-8";
    fprintf(answer->body, "%s\n", why);
}

/* ---- /metrics ---------------------------------------------------------------------------------------------------- */

/* The records of all processes and their bills; those that have ended meanwhile are left out. How many. */
static size_t all_measure(const struct processes *processes, struct record **records, struct measured *measured)
{
    size_t count = 0;
    for (size_t i = 0; i < processes->count; i++) {
        char number[16], *reason;
        snprintf(number, sizeof number, "%d", (int)processes->process[i].id);
        records[count] = record_try(number, &reason);
        free(reason);
        if (!records[count])
            continue;
        measured[count].record = records[count];
        if (bill_read(&measured[count].bill, NULL, records[count]))
            count++;
        else
            record_close(records[count]);
    }
    return count;
}

static void metrics_answer(struct answer *answer)
{
    struct processes processes;
    if (!processes_read(&processes))
        return answer_refuse(answer, 500, "Internal Server Error", "no memory, or no /proc");
    struct record **records = calloc(processes.count + 1, sizeof *records);
    struct measured *measured = calloc(processes.count + 1, sizeof *measured);
    size_t count = records && measured ? all_measure(&processes, records, measured) : 0;
    answer->media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    metrics_print(answer->body, measured, count);
    for (size_t i = 0; i < count; i++)
        record_close(records[i]);
    free(records);
    free(measured);
    processes_free(&processes);
}

/* ---- /heap ------------------------------------------------------------------------------------------------------- */

/* Fills `value` with what the query has by that name, else leaves it alone. Nothing that is asked for here has letters
 * that would be written as others. */
static void query_value(const char *query, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);
    for (const char *place = query; *place; place += strcspn(place, "&"), place += *place == '&')
        if (strncmp(place, name, length) == 0 && place[length] == '=')
            snprintf(value, size, "%.*s", (int)strcspn(place + length + 1, "&"), place + length + 1);
}

static void profile_answer(struct answer *answer, const struct record *record, const char *query)
{
    char value[16] = "live", format_name[16] = "html", threads[4] = "0";
    struct profile_wish wish = {.width = PRESENT_WIDTH};
    query_value(query, "value", value, sizeof value);
    query_value(query, "format", format_name, sizeof format_name);
    query_value(query, "threads", threads, sizeof threads);
    const struct profile_format *format = profile_format_named(format_name);
    if (!format || !profile_value_named(value, &wish.value))
        return answer_refuse(answer, 400, "Bad Request", "no such value or format");
    wish.by_thread = strcmp(threads, "1") == 0;
    struct profile *profile = profile_of_record(record, NULL);
    answer->media = format->media;
    if (profile && profile_value_is_counted(wish.value) && profile->counted == 0)
        answer_refuse(answer, 404, "Not Found", "what it allocates in total was not counted");
    else if (!profile || !format->write(profile, &wish, answer->body))
        answer_refuse(answer, 500, "Internal Server Error", "no memory");
    profile_free(profile);
}

static void heap_answer(struct answer *answer, const char *query)
{
    char process[16] = "", *reason;
    query_value(query, "pid", process, sizeof process);
    if (process[0] == '\0' || process[strspn(process, "0123456789")] != '\0') /* what is no number would be a file */
        return answer_refuse(answer, 400, "Bad Request", "/heap takes ?pid=NUMBER");
    struct record *record = record_try(process, &reason);
    if (record)
        profile_answer(answer, record, query);
    else
        answer_refuse(answer, 404, "Not Found", reason ? reason : "no memory");
    free(reason);
    record_close(record);
}

/* ---- / ----------------------------------------------------------------------------------------------------------- */

static void escaped_print(FILE *to, const char *text)
{
    for (; *text; text++)
        if (*text == '<' || *text == '&')
            fprintf(to, "&#%d;", *text);
        else
            fputc(*text, to);
}

static void list_answer(struct answer *answer)
{
    struct processes processes;
    if (!processes_read(&processes))
        return answer_refuse(answer, 500, "Internal Server Error", "no memory, or no /proc");
    processes_sort(&processes, 'r');
    answer->media = "text/html; charset=utf-8";
    fputs("<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\">"
          "<title>hakmem</title><h1>Processes on hakmem</h1><p><a href=\"/metrics\">metrics</a></p><ul>",
          answer->body);
    for (size_t i = 0; i < processes.count; i++) {
        const struct process *process = &processes.process[i];
        fprintf(answer->body, "<li><a href=\"/heap?pid=%d\">%d ", (int)process->id, (int)process->id);
        escaped_print(answer->body, process->program);
        fprintf(answer->body, "</a>: %s resident, %s live", bytes_text(process->resident).text,
                bytes_text(process->live).text);
    }
    fputs("</ul></html>\n", answer->body);
    processes_free(&processes);
}

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

/* Whether the request names this machine as the loopback does; not to name it at all is no browser's way. */
static bool is_for_loopback(const char *request)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    const char *host = strcasestr(request, "\r\nHost:");
    if (!host)
        return true;
    host += strlen("\r\nHost:");
    host += strspn(host, " \t");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t length = strlen(names[i]);
        if (strncasecmp(host, names[i], length) == 0 && strchr(":\r \t", host[length]))
            return true;
    }
    return false;
}

static void request_answer(char *request, struct answer *answer)
{
    if (!is_for_loopback(request))
        return answer_refuse(answer, 403, "Forbidden", "by names of this machine's loopback only");
    if (strncmp(request, "GET ", 4) != 0)
        return answer_refuse(answer, 405, "Method Not Allowed", "GET only");
    char *path = request + 4;
    path[strcspn(path, " \r\n")] = '\0';
    size_t length = strcspn(path, "?");
    const char *query = path[length] == '?' ? path + length + 1 : path + length;
    path[length] = '\0';
    if (strcmp(path, "/metrics") == 0)
        metrics_answer(answer);
    else if (strcmp(path, "/heap") == 0)
        heap_answer(answer, query);
    else if (strcmp(path, "/") == 0)
        list_answer(answer);
    else
        answer_refuse(answer, 404, "Not Found", "there are /, /metrics and /heap?pid=NUMBER");
}

/* Reads up to the empty line; false when the client does not get there. */
static bool request_read(int client, char request[static REQUEST_SIZE])
{
    size_t length = 0;
    request[0] = '\0';
    while (!strstr(request, "\r\n\r\n")) {
        ssize_t got = recv(client, request + length, REQUEST_SIZE - 1 - length, 0);
        if (got <= 0)
            return false;
        length += (size_t)got;
        request[length] = '\0';
    }
    return true;
}

static bool all_send(int client, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(client, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* Nothing that is sent may ask for anything else. */
static void answer_send(int client, const struct answer *answer, const char *body, size_t size)
{
    char *head;
    int length = asprintf(&head,
                          "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n"
                          "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Security-Policy: "
                          "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'\r\n\r\n",
                          answer->status, answer->words, answer->media, size);
    if (length < 0)
        return;
    if (all_send(client, head, (size_t)length))
        all_send(client, body, size);
    free(head);
}

static struct rlimit at_most(struct rlimit limit, uint64_t most)
{
    limit.rlim_cur = limit.rlim_cur > most ? most : limit.rlim_cur;
    return limit;
}

static void limits_set(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CPU, &limit) == 0) {
        limit = at_most(limit, CPU_SECONDS);
        setrlimit(RLIMIT_CPU, &limit);
    }
    if (getrlimit(RLIMIT_DATA, &limit) == 0) {
        limit = at_most(limit, DATA_MOST);
        setrlimit(RLIMIT_DATA, &limit);
    }
}

/* The whole exchange; the process that calls this ends when one of the limits is reached. */
static void client_serve(int client)
{
    char request[REQUEST_SIZE], *body = NULL;
    size_t size = 0;
    limits_set();
    alarm(REQUEST_SECONDS);
    if (!request_read(client, request))
        return;
    alarm(ANSWER_SECONDS);
    struct answer answer = {.status = 200, .words = "OK", .body = open_memstream(&body, &size)};
    if (!answer.body)
        return;
    request_answer(request, &answer);
    if (fclose(answer.body) == 0)
        answer_send(client, &answer, body, size);
    free(body);
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static int serve_help(void)
{
    puts("usage: hakmem serve [--port NUMBER]\n"
         "\n"
         "Answers programs and browsers on this machine (http://localhost:NUMBER), until\n"
         "it is interrupted:\n"
         "\n"
         "  /metrics               all processes on hakmem that may be looked at, as\n"
         "                         OpenMetrics has it (Prometheus)\n"
         "  /heap?pid=NUMBER       the heap profile of a process: a flame graph.\n"
         "                         &format=html, pprof, json, folded or table;\n"
         "                         &value=live, peak, ... as for 'hakmem heap'; &threads=1\n"
         "  /                      a list of the processes\n"
         "\n"
         "Every user of this machine may ask, and sees what whoever runs it may see.\n"
         "\n"
         "options:\n"
         "  --port NUMBER  otherwise 7450; 0: any that is free\n"
         "  -h, --help     show this text\n"
         "\n"
         "examples:\n"
         "  hakmem serve --port 7450\n"
         "  curl -s localhost:7450/metrics\n"
         "  go tool pprof -http : 'http://localhost:7450/heap?pid=4711&format=pprof'");
    return finish_output();
}

/* A socket that listens on the loopback, at *port or, if that is 0, at one that goes there; -1: see errno. */
static int socket_open(uint16_t *port)
{
    int own = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (own < 0)
        return -1;
    setsockopt(own, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(own, (struct sockaddr *)&address, sizeof address) != 0 || listen(own, QUEUE) != 0 ||
        getsockname(own, (struct sockaddr *)&address, &size) != 0) {
        int error = errno;
        close(own);
        errno = error;
        return -1;
    }
    *port = ntohs(address.sin_port);
    return own;
}

/* Forgets processes that have ended; while there are as many as there may be, waits for one. */
static unsigned processes_reap(unsigned count)
{
    while (count > 0 && waitpid(-1, NULL, count < CONNECTIONS_MOST ? WNOHANG : 0) > 0)
        count--;
    return count;
}

/* Starts a process for the connection; how many. */
static unsigned client_start(int own, int client)
{
    pid_t process = fork();
    if (process == 0) {
        close(own);
        client_serve(client);
        _exit(0);
    }
    if (process < 0)
        complain(0, NULL, "serve: a request is not answered: cannot start a process: %s", strerror(errno));
    return process > 0 ? 1 : 0;
}

static int serve(uint16_t port)
{
    int own = socket_open(&port);
    if (own < 0)
        return complain(STATUS_FAILED, NULL, "serve: cannot listen at port %u: %s", port, strerror(errno));
    printf("http://localhost:%u\n", port);
    int status = finish_output();
    signal(SIGALRM, SIG_DFL); /* who started us may have it ignored */
    signal(SIGCHLD, SIG_DFL);
    for (unsigned count = 0; status == 0; count = processes_reap(count)) {
        int client = accept4(own, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0) {
            count += client_start(own, client);
            close(client);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            status = complain(STATUS_FAILED, NULL, "serve: %s", strerror(errno));
        }
    }
    close(own);
    return status;
}

/* False when it is no port's number. */
static bool port_parse(const char *text, uint16_t *port)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    *port = (uint16_t)number;
    return *text >= '0' && *text <= '9' && *end == '\0' && number <= UINT16_MAX;
}

int command_serve(char **arguments)
{
    static const char hint[] = "try 'hakmem serve --help'";
    uint16_t port = 7450;
    if (*arguments && (strcmp(*arguments, "--help") == 0 || strcmp(*arguments, "-h") == 0))
        return serve_help();
    if (*arguments && strcmp(*arguments, "--port") == 0) {
        if (!arguments[1] || !port_parse(arguments[1], &port))
            return complain(STATUS_USAGE, hint, "serve: --port takes a number, 0 to 65535");
        arguments += 2;
    }
    if (*arguments && **arguments != '-')
        return complain(STATUS_USAGE, hint, "serve: takes no argument '%s': a port is --port's", *arguments);
    if (*arguments)
        return complain(STATUS_USAGE, hint, "serve: no option '%s'", *arguments);
    return serve(port);
}
