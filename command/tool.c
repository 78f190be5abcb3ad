/* tool.c - see tool.h.
 * SPDX-License-Identifier: MIT */
#include "tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int complain(int status, const char *hint, const char *format, ...)
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

int finish_output(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return complain(STATUS_FAILED, NULL, "cannot write to standard output: %s", strerror(errno));
    return 0;
}
