/* stats.h - `hakmem stats`: the figures of a process, for people, for programs and for Prometheus.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_STATS_H
#define HAKMEM_TOOLS_STATS_H

#include <stdbool.h>
#include <stdio.h>

#include "memory/bill.h"
#include "read/record.h"

/* Takes the command's arguments; a status. */
int command_stats(char **arguments);

/* A process and its bill. */
struct measured {
    const struct record *record;
    struct bill bill;
};

/* What OpenMetrics' text has of them, up to its last line (# EOF); several processes are told apart by labels. */
void metrics_print(FILE *to, const struct measured *measured, size_t count);

#endif
