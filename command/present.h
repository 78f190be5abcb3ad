/* present.h - how views write: amounts, times, sentences that fit 80 columns, the bill.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_PRESENT_H
#define HAKMEM_TOOLS_PRESENT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "memory/bill.h"
#include "memory/owners.h"
#include "read/record.h"

enum { PRESENT_WIDTH = 80 };

struct amount {
    char text[24];
};

/* "812.3 MiB". */
struct amount bytes_text(uint64_t bytes);

/* "3 h 12 min", "5 s". */
struct amount time_text(uint64_t milliseconds);

/* The text in lines of PRESENT_WIDTH, the first behind `head`, the others indented as far. */
void text_wrap(FILE *to, const char *head, const char *text);

/* The same behind a head that is made as by printf, of up to 63 characters. */
__attribute__((format(printf, 3, 4))) void text_wrap_behind(FILE *to, const char *text, const char *head, ...);

/* A line for the process: what it is, since when, how large. */
void title_print(FILE *to, const struct record *record, const struct bill *bill);

/* A line for live blocks, for each other item that is not empty, and for the sum. With `owners`, who may be NULL, who
 * holds most, and who pins; and then what is not live and below a hundredth is one item. Without, the peaks, as far as
 * they are known. */
void bill_print(FILE *to, const struct bill *bill, const struct owners *owners);

#endif
