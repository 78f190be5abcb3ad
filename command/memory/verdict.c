/* verdict.c - see verdict.h. Each rule of the table at the end is a question about the bill and a threshold; those that
 * apply are said, the largest amount first.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "memory/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/names.h"
#include "present.h"
#include "read/source.h"

/* Thresholds: percent, bytes, milliseconds. */
enum {
    SMALL_BELOW = 16 << 20, /* resident in all: what a program has anyway */
    ELSEWHERE_FROM = 50,    /* of all that is resident, not hakmem's */
    LIVE_FROM = 50,         /* of what is hakmem's */
    SPARE_FROM = 25,        /* of what is hakmem's: free in pages, kept, or huge pages' rests */
    SPARE_LEAST = 16 << 20, /* and so many bytes of it: less is not worth a thought */
    KEEPS_FROM = 90,        /* of what came by an owner's ways: as much is still live, so that hardly anything ends */
    IDLE_FROM = 2000        /* then only the next calls make the library let go of what it keeps */
};

/* ---- Questions --------------------------------------------------------------------------------------------------- */

static bool is_small(const struct facts *facts) { return facts->bill.total < SMALL_BELOW; }

static bool is_elsewhere(const struct facts *facts)
{
    return percent(facts->bill.total - bill_own(&facts->bill), facts->bill.total) >= ELSEWHERE_FROM;
}

static bool is_live(const struct facts *facts)
{
    return percent(facts->bill.item[BILL_LIVE], bill_own(&facts->bill)) >= LIVE_FROM;
}

static bool is_spare(const struct facts *facts, enum bill_item item)
{
    return facts->bill.item[item] >= SPARE_LEAST &&
           percent(facts->bill.item[item], bill_own(&facts->bill)) >= SPARE_FROM;
}

static bool is_fragmented(const struct facts *facts) { return is_spare(facts, BILL_PAGES); }
static bool is_kept(const struct facts *facts) { return is_spare(facts, BILL_KEPT); }
static bool is_huge(const struct facts *facts) { return is_spare(facts, BILL_HUGE); }

/* Who got most in the later half of the time. */
static const struct owner *grower(const struct facts *facts)
{
    const struct owner *most = NULL;
    for (size_t i = 0; facts->owners && i < facts->owners->count; i++)
        if (facts->owners->owner[i].young > (most ? most->young : 0))
            most = &facts->owners->owner[i];
    return most;
}

/* Whether live memory grows to the end, by somebody's hand. */
static bool grows(const struct facts *facts) { return facts->growth.by_minute > 0 && grower(facts); }

static bool is_leak(const struct facts *facts)
{
    const struct owner *owner = grower(facts);
    return is_live(facts) && grows(facts) && percent(owner->live, owner->live + owner->ended) >= KEEPS_FROM;
}

static bool is_growing(const struct facts *facts) { return is_live(facts) && grows(facts) && !is_leak(facts); }

static bool is_new(const struct facts *facts)
{
    return is_live(facts) && !is_elsewhere(facts) && !grows(facts) && facts->growth.lasted < GROWTH_YOUNG;
}

static bool is_steady(const struct facts *facts)
{
    return is_live(facts) && !is_elsewhere(facts) && !grows(facts) && facts->growth.lasted >= GROWTH_YOUNG;
}

/* Without calls the library does not run. */
static bool is_idle(const struct facts *facts) { return facts->runs && facts->idle >= IDLE_FROM; }

static bool is_mixed(const struct facts *facts)
{
    return !is_elsewhere(facts) && !is_live(facts) && !is_fragmented(facts) && !is_kept(facts) && !is_huge(facts);
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

struct owner_name {
    char text[48];
};

static struct owner_name name_of(const struct owner *owner)
{
    struct owner_name name = {"nobody known"};
    if (owner)
        name_condense(name.text, sizeof name.text - 1, owner->name);
    return name;
}

static struct verdict verdict_make(char *what, char *advice) { return (struct verdict){what, advice}; }

static struct verdict small_say(const struct facts *facts)
{
    (void)facts;
    return verdict_make(text_make("The process is small; most of this it would have on any allocator."),
                        text_make("Nothing."));
}

static enum bill_item elsewhere_item(const struct bill *bill)
{
    enum bill_item most = BILL_OTHER;
    for (enum bill_item item = BILL_OWN + 1; item < BILL_ITEMS; item++)
        if (bill->item[item] > bill->item[most])
            most = item;
    return most;
}

/* Programs that take their own memory past malloc, and how they can be told not to: then it can be seen whose it is. */
static const struct own_allocator {
    const char *program, *advice; /* names begin so */
} own_allocators[] = {
    {"python", "PYTHONMALLOC=malloc in its environment makes Python take all of it from malloc, where it can be seen "
               "whose it is."},
    {"php",
     "USE_ZEND_ALLOC=0 in its environment makes PHP take all of it from malloc, where it can be seen whose it is."},
    {"node", "This is V8's heap: 'node --heapsnapshot-signal' and --max-old-space-size are for that."},
    {"java", "This is the JVM's heap: jcmd shows it, -Xmx bounds it."},
};
enum { OWN_ALLOCATORS = sizeof own_allocators / sizeof own_allocators[0] };

static const char *other_advice(const struct facts *facts)
{
    for (size_t i = 0; i < OWN_ALLOCATORS; i++)
        if (strncmp(facts->program, own_allocators[i].program, strlen(own_allocators[i].program)) == 0)
            return own_allocators[i].advice;
    return "Look at that one's settings and reports: malloc never sees this memory.";
}

static struct verdict elsewhere_say(const struct facts *facts)
{
    const struct elsewhere {
        const char *what, *advice;
    } places[BILL_ITEMS] = {
        [BILL_STACKS] = {"in stacks", "Look at how many threads there are, and at what they keep in local variables."},
        [BILL_FILES] = {"in the program, its libraries, and files that it has mapped",
                        "Nothing: the system takes most of this back when memory is short."},
        [BILL_SHARED] = {"in shared memory, which counts in each process that uses it",
                         "Look at the program's settings for it."},
        [BILL_OTHER] = {"in mappings of the program's own: another allocator's, or a language's garbage collected heap",
                        other_advice(facts)}};
    const struct bill *bill = &facts->bill;
    const struct elsewhere *place = &places[elsewhere_item(bill)];
    if (!bill->is_from_kernel)
        place = &places[BILL_OTHER];
    return verdict_make(text_make("It is not the heap: %u %% is not hakmem's, and of that most is %s.",
                                  percent(bill->total - bill_own(bill), bill->total), place->what),
                        text_make("%s", place->advice));
}

static struct verdict leak_say(const struct facts *facts)
{
    return verdict_make(
        text_make("It is live, and grows by %s a minute. Hardly anything that came by %s was ever freed: a "
                  "leak, or a cache that is not full yet.",
                  bytes_text(facts->growth.by_minute).text, name_of(grower(facts)).text),
        text_make("'hakmem leaks %s' has the ways of which that is sure, 'hakmem heap' has all; a cache ends "
                  "growing, a leak never does.",
                  facts->name));
}

static struct verdict growing_say(const struct facts *facts)
{
    return verdict_make(
        text_make("It is live, and grows by %s a minute, most by %s, whose blocks are freed, too: a cache or a "
                  "queue that fills, rather than a leak.",
                  bytes_text(facts->growth.by_minute).text, name_of(grower(facts)).text),
        text_make("Nothing, if that has a bound; 'hakmem heap %s' has the ways there.", facts->name));
}

static struct verdict new_say(const struct facts *facts)
{
    if (!facts->runs)
        return verdict_make(
            text_make("It was live. Whether it grew cannot be told of less than %d s.", GROWTH_YOUNG / 1000),
            text_make("'hakmem heap %s' shows who held it.", facts->name));
    return verdict_make(
        text_make("It is live. Whether it grows cannot be told before the process is %d s old.", GROWTH_YOUNG / 1000),
        text_make("Ask again; 'hakmem heap %s' shows who holds it.", facts->name));
}

static struct verdict steady_say(const struct facts *facts)
{
    const char *name = facts->name;
    bool is_long = facts->growth.steady >= GROWTH_YOUNG;
    return verdict_make(
        is_long ? text_make("It is live, and has hardly changed for %s: what the program needs, or a cache; no "
                            "leak that grows.",
                            time_text(facts->growth.steady).text)
                : text_make("It is live, and does not grow steadily: what the program needs, or a cache."),
        text_make("Nothing in the allocator; 'hakmem heap %s' shows who holds it.", name));
}

static struct verdict fragmented_say(const struct facts *facts)
{
    unsigned share;
    const struct owner *pinner =
        facts->owners ? owners_pinner(facts->owners, facts->bill.item[BILL_PAGES], &share) : NULL;
    char *by = pinner ? text_make(" (%u %% by those of %s)", share, name_of(pinner).text) : text_make("%s", "");
    char *idle = is_idle(facts)
                     ? text_make(" The program has asked for no memory for %s; some of it may go back with its next "
                                 "calls.",
                                 time_text(facts->idle).text)
                     : text_make("%s", "");
    struct verdict verdict = verdict_make(
        text_make("%s is fragmentation: free, but pages of memory that live blocks keep%s.%s",
                  bytes_text(facts->bill.item[BILL_PAGES]).text, by ? by : "", idle ? idle : ""),
        text_make(
            "Let what lives long be allocated before what does not; or start it with HAKMEM_SITES=1, which keeps apart "
            "what different callers allocate."));
    free(by);
    free(idle);
    return verdict;
}

static struct verdict kept_say(const struct facts *facts)
{
    char *what, *advice;
    struct amount bytes = bytes_text(facts->bill.item[BILL_KEPT]);
    if (is_idle(facts)) {
        what = text_make(
            "%s is free and kept: the program has asked for no memory for %s, and without its calls hakmem does "
            "not run.",
            bytes.text, time_text(facts->idle).text);
        advice = text_make(
            "Nothing: it goes back soon after the next calls, all of it if 'hakmem trim' has asked for that.");
    } else {
        what =
            text_make("%s is free and kept for reuse, since the program had as much in use lately and needs it again.",
                      bytes.text);
        advice = text_make("Nothing: it goes when it is not used again, and for once with 'hakmem trim'. "
                           "HAKMEM_LIMIT=SIZE, where it has to be less.");
    }
    return verdict_make(what, advice);
}

static struct verdict huge_say(const struct facts *facts)
{
    return verdict_make(
        text_make("%s was never used, but is part of huge pages that are used elsewhere.",
                  bytes_text(facts->bill.item[BILL_HUGE]).text),
        text_make("Nothing: it is used when the heap grows. HAKMEM_HUGE=never, where memory is scarcer than time."));
}

static struct verdict mixed_say(const struct facts *facts)
{
    (void)facts;
    return verdict_make(text_make("No single cause: it is spread as above."), text_make("Nothing."));
}

/* ---- The rules --------------------------------------------------------------------------------------------------- */

enum { NO_ITEM = -1 };

static const struct rule {
    const char *name;
    bool (*applies)(const struct facts *);
    struct verdict (*say)(const struct facts *);
    int item; /* whose bytes it explains */
} rules[] = {
    /* resident below SMALL_BELOW; then no other is asked */
    {"small", is_small, small_say, NO_ITEM},
    /* not hakmem's: ELSEWHERE_FROM and more */
    {"elsewhere", is_elsewhere, elsewhere_say, NO_ITEM},
    /* live: LIVE_FROM and more of hakmem's; and it grows to the end (growth.c), and of who got most meanwhile
     * KEEPS_FROM is still live */
    {"leak", is_leak, leak_say, BILL_LIVE},
    /* the same, but less of it is */
    {"growing", is_growing, growing_say, BILL_LIVE},
    /* live, has not grown so, and is younger than GROWTH_YOUNG; unless most is elsewhere */
    {"new", is_new, new_say, BILL_LIVE},
    /* live, has not grown so, and is older */
    {"steady", is_steady, steady_say, BILL_LIVE},
    /* SPARE_FROM of hakmem's and SPARE_LEAST: free in pages; kept; of huge pages */
    {"fragmented", is_fragmented, fragmented_say, BILL_PAGES},
    {"kept", is_kept, kept_say, BILL_KEPT},
    {"huge", is_huge, huge_say, BILL_HUGE},
    /* none of these */
    {"mixed", is_mixed, mixed_say, NO_ITEM},
};
enum { RULES = sizeof rules / sizeof rules[0] };

/* Of the rules that apply, those that explain most first; how many. "small" and "elsewhere" come before all. */
static size_t rules_choose(const struct facts *facts, const struct rule *chosen[RULES])
{
    size_t count = 0;
    for (size_t i = 0; i < RULES; i++) {
        if (!rules[i].applies(facts))
            continue;
        size_t place = count++;
        for (; place > 0 && rules[i].item != NO_ITEM && chosen[place - 1]->item != NO_ITEM &&
               facts->bill.item[rules[i].item] > facts->bill.item[chosen[place - 1]->item];
             place--)
            chosen[place] = chosen[place - 1];
        chosen[place] = &rules[i];
        if (i == 0)
            break;
    }
    return count;
}

size_t verdicts_make(const struct facts *facts, struct verdict out[VERDICTS_MOST])
{
    const struct rule *chosen[RULES];
    size_t count = rules_choose(facts, chosen);
    count = count < VERDICTS_MOST ? count : VERDICTS_MOST;
    for (size_t i = 0; i < count; i++)
        out[i] = chosen[i]->say(facts);
    return count;
}

void verdicts_free(struct verdict *verdicts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(verdicts[i].what);
        free(verdicts[i].advice);
    }
}

void verdict_names(const struct facts *facts, char *text, size_t size)
{
    const struct rule *chosen[RULES];
    size_t count = rules_choose(facts, chosen), length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count && length < size; i++)
        length += (size_t)snprintf(text + length, size - length, "%s%s", i > 0 ? " " : "", chosen[i]->name);
}
