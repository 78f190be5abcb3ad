/* record_fuzz.c - whatever bytes a record or a core file has, it is read and shown, or refused, without harm.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/fault.h"
#include "memory/owners.h"
#include "read/record.h"
#include "memory/stats.h"
#include "memory/verdict.h"

/* All that the commands make of a record, without a terminal. */
static void record_show(const struct record *record, FILE *to)
{
    struct owners owners;
    struct measured measured = {.record = record};
    const struct record_guard *guards;
    for (size_t i = record_guards(record, &guards); i-- > 0;)
        fault_print(to, record, guards[i].block);
    bill_make(&measured.bill, record, NULL);
    metrics_print(to, &measured, 1);
    if (owners_read(&owners, record, NULL)) {
        struct verdict verdicts[VERDICTS_MOST];
        struct facts facts = {.name = "fuzz",
                              .program = "fuzz",
                              .bill = measured.bill,
                              .owners = &owners,
                              .growth = growth_read(record, measured.bill.live)};
        verdicts_free(verdicts, verdicts_make(&facts, verdicts));
    }
    owners_free(&owners);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *null;
    char *reason;
    if (!null)
        null = fopen("/dev/null", "we");
    struct record *record = record_try(fuzz_file(data, size), &reason);
    if (record)
        record_show(record, null);
    else if (!reason)
        abort();
    free(reason);
    record_close(record);
    return 0;
}
