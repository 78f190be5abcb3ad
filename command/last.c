/* last.c - see last.h.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "last.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory/bill.h"
#include "present.h"
#include "read/record.h"
#include "tool.h"

static char folder[PATH_MAX]; /* empty: none was made */
static const char *const names[] = {"record", "record.old"}; /* the second: of what the program was before an execve */

int last_prepare(void)
{
    const char *place = getenv("TMPDIR"), *own = getenv("HAKMEM_RECORD");
    if (own && *own)
        return 0;
    int length = snprintf(folder, sizeof folder, "%s/hakmem-XXXXXX", place && *place == '/' ? place : "/tmp");
    if (length < (int)sizeof folder && mkdtemp(folder))
        return 0;
    int error = errno;
    complain(0, NULL, "warning: no folder in %s (%s): nothing will be said if a signal ends the program",
             place && *place == '/' ? place : "/tmp", strerror(error));
    folder[0] = '\0';
    return 0;
}

int last_announce(void)
{
    char *path;
    if (!folder[0])
        return 0;
    if (asprintf(&path, "%s/%s%%=%d", folder, names[0], (int)getpid()) < 0 || setenv("HAKMEM_RECORD", path, 1) != 0)
        return complain(STATUS_FAILED, NULL, "cannot set HAKMEM_RECORD: %s", strerror(errno));
    free(path);
    return 0;
}

static void words_print(const struct record *record)
{
    struct bill bill;
    if (!bill_read(&bill, NULL, record))
        return;
    title_print(stderr, record, &bill);
    bill_print(stderr, &bill, NULL);
    fputs("HAKMEM_RECORD=file keeps the record, of which 'hakmem why file' tells more\n", stderr);
}

/* False when there is none. */
static bool record_say(pid_t program)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, names[0]) >= (int)sizeof path || access(path, R_OK) != 0)
        return false;
    struct record *record = record_open(path);
    bool is_its = record && record_header(record)->process == (uint32_t)program && record_header(record)->taken_at > 0;
    if (is_its)
        words_print(record);
    record_close(record);
    return is_its;
}

static void folder_remove(void)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (snprintf(path, sizeof path, "%s/%s", folder, names[i]) < (int)sizeof path)
            unlink(path);
    rmdir(folder);
}

void last_say(pid_t program, int wait_status)
{
    if (WIFSIGNALED(wait_status)) {
        int number = WTERMSIG(wait_status);
        const char *record = getenv("HAKMEM_RECORD");
        complain(0, NULL, "the program was ended by signal %d (%s)", number, strsignal(number));
        if (!folder[0] && record)
            fprintf(stderr, "'hakmem why %s' tells what it held\n", record);
        else if (!folder[0])
            fputs("no record was kept of what it held\n", stderr);
        else if (!record_say(program))
            fputs("no record was kept of what it held: it had hardly begun, or is not on hakmem\n", stderr);
    }
    if (folder[0])
        folder_remove();
}
