/* hakmem-scale - how costs of malloc and free grow with the heap, with threads and with cores, on whichever allocator
 * LD_PRELOAD brings.
 *
 *   hakmem-scale MEASUREMENT... [OPTION...]
 *
 * Exit status: 0; 1 a row failed, because the allocator refused, crashed or hung; 2 wrong usage.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options;

static const struct measurement *const all[] = {&runs,      &stall,  &free_random, &fork_child, &generations,
                                                &heap_info, &growth, &huge,        &idle,       &threads};
enum { ALL = sizeof all / sizeof *all };

/* ---- Sizes of a curve -------------------------------------------------------------------------------------------- */

unsigned series_length(const struct series *series, uint64_t last)
{
    unsigned length = 0;
    while (length < STEPS && series->steps[options.scale][length] != 0 &&
           (last == 0 || series->steps[options.scale][length] < last))
        length++;
    return length + (last != 0);
}

uint64_t series_step(const struct series *series, uint64_t last, unsigned number)
{
    return last != 0 && number + 1 == series_length(series, last) ? last : series->steps[options.scale][number];
}

/* ---- The command line -------------------------------------------------------------------------------------------- */

static void usage_print(void)
{
    printf("usage: hakmem-scale MEASUREMENT... [OPTION...]\n\n"
           "How costs grow with the heap, with threads and with cores, on the allocator that\n"
           "LD_PRELOAD brings, or libc's.\n\n");
    for (unsigned i = 0; i < ALL; i++)
        printf("  %-12s%s\n", all[i]->name, all[i]->about);
    printf("  %-12s%s\n\n", "all", "all of them, with modest sizes (--full: with all sizes)");
    printf("  --max SIZE    the curve ends at this size of the heap, such as 50G or 2T\n"
           "  --threads N   it ends at so many threads\n"
           "  --times N     generations: so many\n"
           "  --seconds S   threads: for each mix; growth, huge: that long at most\n"
           "  --full        all sizes; without `all` that is the default\n"
           "  --modest      those of `all`\n"
           "  --tiny        sizes that show only that it works\n"
           "  --json        at the end, each row as a line of JSON, too\n");
}

static void usage_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void usage_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "hakmem-scale: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "; hakmem-scale --help lists all\n");
    va_end(arguments);
    exit(2);
}

static bool number_parse(const char *text, double most, double *number)
{
    char *end;
    *number = isdigit((unsigned char)*text) ? strtod(text, &end) : 0;
    return *number > 0 && *number <= most && *end == '\0';
}

static bool count_parse(const char *text, double most, uint64_t *count)
{
    double number;
    bool is_number = number_parse(text, most, &number);
    *count = (uint64_t)number;
    return is_number && (double)*count == number;
}

static bool threads_parse(const char *text, double most) { return count_parse(text, most, &options.threads); }
static bool times_parse(const char *text, double most) { return count_parse(text, most, &options.times); }
static bool seconds_parse(const char *text, double most) { return number_parse(text, most, &options.seconds); }

/* 50G, 1.5T, 200MiB; without a letter it is bytes. */
static bool max_parse(const char *text, double most)
{
    static const char letters[] = "KMGTP";
    char *end;
    double number = isdigit((unsigned char)*text) ? strtod(text, &end) : 0;
    if (!(number > 0))
        return false;
    const char *letter = *end == '\0' ? NULL : strchr(letters, toupper((unsigned char)*end));
    if (letter != NULL) {
        number *= (double)(UINT64_C(1) << (10 * (letter - letters + 1)));
        end += strcmp(end + 1, "iB") == 0 ? 3 : strcmp(end + 1, "B") == 0 ? 2 : 1;
    }
    options.max_bytes = number >= 1 && number <= most ? (uint64_t)number : 0;
    return *end == '\0' && options.max_bytes != 0;
}

/* The options with a value, which is `most` at most. */
static const struct valued {
    const char *name;
    unsigned use;
    const char *takes;
    double most;
    bool (*parse)(const char *text, double most);
} all_valued[] = {
    {"--max", OPTION_MAX, "a size such as 50G", 1e18, max_parse},
    {"--threads", OPTION_THREADS, "a whole number", 100000, threads_parse},
    {"--times", OPTION_TIMES, "a whole number", 10000, times_parse},
    {"--seconds", OPTION_SECONDS, "a number", 600, seconds_parse},
};
enum { ALL_VALUED = sizeof all_valued / sizeof *all_valued };

/* False: there is no such option. */
static bool value_parse(const char *name, const char *text, unsigned *uses)
{
    const struct valued *option = all_valued;
    while (option < all_valued + ALL_VALUED && strcmp(name, option->name) != 0)
        option++;
    if (option == all_valued + ALL_VALUED)
        return false;
    if (text == NULL || !option->parse(text, option->most))
        usage_fail("%s takes %s above 0, up to %.15g, not '%s'", name, option->takes, option->most,
                   text == NULL ? "" : text);
    *uses |= option->use;
    return true;
}

static int scale_parse(const char *name)
{
    static const char *const names[SCALES] = {"--tiny", "--modest", "--full"};
    for (int i = 0; i < SCALES; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

static const struct measurement *measurement_find(const char *name)
{
    for (unsigned i = 0; i < ALL; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

/* What was asked for. */
struct order {
    bool is_wanted[ALL];
    bool is_all;
    int scale;     /* -1: not said */
    unsigned uses; /* the options with a value that were given */
};

static void name_take(struct order *order, const char *name)
{
    bool is_all = strcmp(name, "all") == 0, is_known = is_all;
    order->is_all |= is_all;
    for (unsigned i = 0; i < ALL; i++)
        if (is_all || strcmp(all[i]->name, name) == 0)
            order->is_wanted[i] = is_known = true;
    if (!is_known)
        usage_fail("there is no measurement '%s'", name);
}

static struct order order_parse(char **arguments)
{
    struct order order = {.scale = -1};
    for (char **next = arguments; *next != NULL; next++) {
        int scale = scale_parse(*next);
        if (scale >= 0 && order.scale >= 0 && scale != order.scale)
            usage_fail("%s contradicts what stands before it", *next);
        if (scale >= 0)
            order.scale = scale;
        else if (strcmp(*next, "--json") == 0)
            options.json = true;
        else if (value_parse(*next, next[1], &order.uses))
            next++;
        else if (**next == '-')
            usage_fail("there is no option '%s'", *next);
        else
            name_take(&order, *next);
    }
    return order;
}

static void order_check(const struct order *order)
{
    unsigned used = 0, wanted = 0;
    for (unsigned i = 0; i < ALL; i++)
        if (order->is_wanted[i]) {
            used |= all[i]->uses;
            wanted++;
        }
    if (wanted == 0)
        usage_fail("no measurement is named");
    for (unsigned i = 0; i < ALL_VALUED; i++)
        if ((order->uses & ~used & all_valued[i].use) != 0)
            usage_fail("no measurement that is named takes %s", all_valued[i].name);
}

/* ---- Main -------------------------------------------------------------------------------------------------------- */

static void order_run(const struct order *order, char **arguments)
{
    bool is_first = true;
    for (unsigned i = 0; i < ALL; i++) {
        if (!order->is_wanted[i])
            continue;
        if (!is_first)
            printf("\n");
        is_first = false;
        table_begin(all[i]);
        for (unsigned number = 0; number < all[i]->cases(); number++)
            case_start(all[i], number, arguments, record_print);
    }
    if (options.json) {
        printf("\n");
        rows_print_json();
    }
}

int main(int argc, char **argv)
{
    /* How case_exec starts a case: --case NAME NUMBER, and what was asked for. */
    bool is_case = argc > 3 && strcmp(argv[1], "--case") == 0;
    if (argc == 1 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage_print();
        return 0;
    }
    struct order order = order_parse(argv + (is_case ? 4 : 1));
    options.scale = order.scale >= 0 ? (enum scale)order.scale : order.is_all ? SCALE_MODEST : SCALE_FULL;
    order_check(&order);
    const struct measurement *measurement = is_case ? measurement_find(argv[2]) : NULL;
    if (measurement != NULL)
        case_main(measurement, (unsigned)atoi(argv[3]));
    order_run(&order, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("hakmem-scale: standard output");
        return 1;
    }
    return rows_have_failed() ? 1 : 0;
}
