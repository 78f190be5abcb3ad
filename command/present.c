/* present.c - see present.h.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "present.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "names/names.h"
#include "read/source.h"
#include "names/symbols.h"

enum { OWNERS_SHOWN = 3, PINNER_MOST = 16 /* characters of a name that fit behind the words */ };

struct amount bytes_text(uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    struct amount amount;
    double value = (double)bytes / 1024;
    unsigned unit = 0;
    for (; unit < 3 && value >= 1023.95; unit++) /* what would be written as 1024.0 */
        value /= 1024;
    snprintf(amount.text, sizeof amount.text, "%.1f %s", value, units[unit]);
    return amount;
}

struct amount time_text(uint64_t ms)
{
    static const struct unit {
        const char *name;
        uint64_t ms;
    } units[] = {{"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}};
    struct amount amount;
    for (unsigned i = 0; i < 3; i++)
        if (ms >= units[i].ms) {
            uint64_t rest = ms % units[i].ms / units[i + 1].ms;
            int length = snprintf(amount.text, sizeof amount.text, "%llu %s", (unsigned long long)(ms / units[i].ms),
                                  units[i].name);
            if (rest > 0)
                snprintf(amount.text + length, sizeof amount.text - (size_t)length, " %llu %s",
                         (unsigned long long)rest, units[i + 1].name);
            return amount;
        }
    snprintf(amount.text, sizeof amount.text, "%llu s", (unsigned long long)(ms / 1000));
    return amount;
}

/* Characters up to where a line may end: a number stays with its unit. */
static size_t word_length(const char *text)
{
    size_t length = strcspn(text, " ");
    if (length > 0 && strspn(text, "0123456789.") == length && text[length] == ' ')
        length += 1 + strcspn(text + length + 1, " ");
    return length;
}

void text_wrap(FILE *to, const char *head, const char *text)
{
    size_t indent = strlen(head), column = indent;
    fputs(head, to);
    for (const char *place = text; *place;) {
        size_t length = word_length(place);
        if (column > indent && column + 1 + length > PRESENT_WIDTH) {
            fprintf(to, "\n%*s", (int)indent, "");
            column = indent;
        }
        column += (size_t)fprintf(to, "%s%.*s", column > indent ? " " : "", (int)length, place);
        place += length;
        place += strspn(place, " ");
    }
    fputc('\n', to);
}

void text_wrap_behind(FILE *to, const char *text, const char *head, ...)
{
    char made[64];
    va_list arguments;
    va_start(arguments, head);
    vsnprintf(made, sizeof made, head, arguments);
    va_end(arguments);
    text_wrap(to, made, text);
}

void title_print(FILE *to, const struct record *record, const struct bill *bill)
{
    const struct record_header *header = record_header(record);
    bool runs = record_process(record) != 0;
    const char *state = runs ? "up" : header->state == RECORD_ENDED ? "ended after" : "killed, or not ended, after";
    char *text = text_make("%s, process %u on hakmem %s, %s %s: %s resident%s", path_base(header->program),
                           runs ? (unsigned)record_process(record) : header->process, header->library, state,
                           time_text(record_lasted(record)).text, bytes_text(bill->total).text,
                           runs ? "" : " when it was last looked at");
    if (text)
        text_wrap(to, "", text);
    free(text);
}

static void row_print(FILE *to, uint64_t bytes, uint64_t total, const char *words)
{
    fprintf(to, "%11s  %3.0f %%  %s\n", bytes_text(bytes).text, total > 0 ? 100 * (double)bytes / (double)total : 0,
            words);
}

/* "amount  function < caller < caller", in what is left of the line. */
static void owner_print(FILE *to, const struct owner *owner, double scale)
{
    enum { INDENT = 20, AMOUNT = 11, LEFT = PRESENT_WIDTH - INDENT - AMOUNT - 2 };
    char name[LEFT + 1];
    name_condense(name, LEFT, owner->name);
    fprintf(to, "%*s%*s  %s", INDENT, "", AMOUNT, bytes_text((uint64_t)((double)owner->resident * scale)).text, name);
    size_t column = strlen(name);
    for (const char *place = owner->callers; *place;) {
        size_t length = strcspn(place, " "), word = length;
        const char *end = strstr(place, " < ");
        word = end ? (size_t)(end - place) : strlen(place);
        if (column + 3 + word > LEFT)
            break;
        column += (size_t)fprintf(to, " < %.*s", (int)word, place);
        place += word + (end ? 3 : 0);
    }
    fputc('\n', to);
}

/* Appends it to a row's words, if it is known. */
static void peak_append(char words[static PRESENT_WIDTH], uint64_t peak)
{
    size_t length = strlen(words);
    if (peak > 0)
        snprintf(words + length, PRESENT_WIDTH - length, "%s%s", bill_says[BILL_SAYS_PEAK], bytes_text(peak).text);
}

static void live_print(FILE *to, const struct bill *bill, const struct owners *owners)
{
    char words[PRESENT_WIDTH];
    bool is_untouched = bill->live > bill->item[BILL_LIVE] + bill->item[BILL_LIVE] / 50;
    if (is_untouched)
        snprintf(words, sizeof words, "%s%s%s", bill_says[BILL_SAYS_LIVE_OF], bytes_text(bill->live).text,
                 bill_says[BILL_SAYS_UNTOUCHED]);
    else
        snprintf(words, sizeof words, "%s", bill_words[BILL_LIVE]);
    if (!owners)
        peak_append(words, bill->peak);
    row_print(to, bill->item[BILL_LIVE], bill->total, words);
    if (!owners || owners->resident == 0)
        return;
    /* Samples are estimates: they are made to add up to what there is. */
    double scale = (double)bill->item[BILL_LIVE] / (double)owners->resident;
    for (size_t i = 0; i < owners->count && i < OWNERS_SHOWN; i++)
        owner_print(to, &owners->owner[i], scale);
}

static void pages_print(FILE *to, const struct bill *bill, const struct owners *owners)
{
    unsigned share;
    const struct owner *pinner = owners ? owners_pinner(owners, bill->item[BILL_PAGES], &share) : NULL;
    char words[PRESENT_WIDTH];
    int length = snprintf(words, sizeof words, "%s", bill_words[BILL_PAGES]);
    if (pinner && strlen(pinner->name) <= PINNER_MOST)
        snprintf(words + length, sizeof words - (size_t)length, "; %u %% %s's", share, pinner->name);
    row_print(to, bill->item[BILL_PAGES], bill->total, words);
}

static void item_print(FILE *to, const struct bill *bill, enum bill_item item)
{
    char words[PRESENT_WIDTH];
    snprintf(words, sizeof words, "%s", bill_words[item]);
    if (item == BILL_OTHER && bill->other[0])
        snprintf(words, sizeof words, "%s, as %.20s", bill_words[item], bill->other);
    row_print(to, bill->item[item], bill->total, words);
}

static bool is_little(const struct bill *bill, enum bill_item item)
{
    return item != BILL_LIVE && bill->item[item] < bill->total / 100;
}

static void items_print(FILE *to, const struct bill *bill, const struct owners *owners, enum bill_item item)
{
    if (item == BILL_LIVE)
        live_print(to, bill, owners);
    else if (item == BILL_PAGES)
        pages_print(to, bill, owners);
    else
        item_print(to, bill, item);
}

void bill_print(FILE *to, const struct bill *bill, const struct owners *owners)
{
    uint64_t little = 0;
    for (enum bill_item item = 0; item < BILL_ITEMS; item++)
        if (owners && is_little(bill, item))
            little += bill->item[item];
        else if (bill->item[item] > 0 || item == BILL_LIVE) /* whose peak may be all that there is to say */
            items_print(to, bill, owners, item);
    if (little > 0)
        row_print(to, little, bill->total, bill_says[BILL_SAYS_LITTLE]);
    char words[PRESENT_WIDTH];
    snprintf(words, sizeof words, "%s",
             bill_says[bill->is_from_kernel ? BILL_SAYS_RESIDENT : BILL_SAYS_RESIDENT_LAST]);
    if (!owners)
        peak_append(words, bill->peak_total);
    row_print(to, bill->total, bill->total, words);
}
