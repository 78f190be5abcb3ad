#include "insight/explain.h"

#include "heap/huge.h"
#include "heap/limit.h"
#include "heap/retain.h"
#include "policy/learn.h"
#include "system/options.h"
#include "system/text.h"

struct rule_words {
    const char *name, *what, *reason, *unit_a, *unit_b, *measure;
};

/* By code, not a table, whose pointers every process would have to relocate at its start. */
static struct rule_words explain_words(unsigned rule)
{
    switch (rule) {
#define X(id, name, judged, what, reason, unit_a, unit_b, measure) \
    case RULE_##id: return (struct rule_words){name, what, reason, unit_a, unit_b, measure};
#include "policy/policy.def"
#undef X
    default: return (struct rule_words){"", "", "", "", "", ""};
    }
}

static const char *const modes[] = {
    [LEARN_OFF] = "off", [LEARN_ON] = "on", [LEARN_FREEZE] = "freeze", [LEARN_SHADOW] = "shadow"};
static const char *const outcomes[] = {[OUTCOME_TRIAL] = "on trial",
                                       [OUTCOME_KEPT] = "kept",
                                       [OUTCOME_TAKEN_BACK] = "taken back",
                                       [OUTCOME_SHADOW] = "not done"};

static SPARSE struct learner copy;       /* of what was learned, while it is written */
static _Atomic(bool) copy_in_use; /* by a thread */

static bool copy_take(void)
{
    if (atomic_exchange_explicit(&copy_in_use, true, memory_order_acquire)) /* pairs with copy_leave */
        return false;
    if (learn_copy(&copy))
        return true;
    store_release(&copy_in_use, false);
    return false;
}

static void copy_leave(void) { store_release(&copy_in_use, false); /* pairs with copy_take */ }

static uint32_t decisions_kept(void) { return (uint32_t)min_size(copy.decisions, LEARN_LOG); }

/* The oldest that is still in the log is 0. */
static const struct decision *decision_at(uint32_t index)
{
    return &copy.log[(copy.decisions - decisions_kept() + index) % LEARN_LOG];
}

/* ---- For people -------------------------------------------------------------------------------------------------- */

/* Of lines that go on. */
enum { ITEM_INDENT = 4, DECISION_INDENT = 11, AMOUNT_INDENT = 14 };

/* Seconds, right-aligned. */
static void print_seconds(struct text *text, uint64_t milliseconds, unsigned width)
{
    text_right(text, milliseconds / 1000, width);
    text_string(text, ".");
    text_decimal(text, milliseconds / 100 % 10);
}

static void print_number(struct text *text, uint64_t number, const char *unit)
{
    text_decimal(text, number);
    if (unit[0] != '%')
        text_string(text, " ");
    text_string(text, unit);
}

static void print_class(struct text *text, unsigned c, const struct class_policy *now, const struct class_policy *fixed)
{
    text_right(text, class_size(c), 12);
    text_right(text, now->capacity, 12);
    text_right(text, fixed->capacity, 8);
    text_right(text, now->batch * 25u, 10);
    text_string(text, now->hands_over ? "      threads" : "        pages");
    text_right(text, 100u + now->wmax, 14);
    text_string(text, now->huge ? "      huge" : "     small");
    text_string(text, now->apart ? "  (call sites apart)" : "");
    text_string(text, c == CLASS_FITTED ? "  (fitted)\n" : "\n");
}

static bool is_as_ever(const struct policy *policy, unsigned c)
{
    const struct class_policy *now = &policy->class[c], *fixed = &policy_static.class[c];
    bool hands_over = fixed->hands_over && !policy->thrift; /* said once for all classes */
    return c != CLASS_FITTED && now->capacity == fixed->capacity && now->batch == fixed->batch &&
           now->hands_over == hands_over && now->wmax == fixed->wmax && now->huge == fixed->huge &&
           now->apart == fixed->apart;
}

static void print_policy(struct text *text, const struct policy *policy)
{
    bool headed = false;
    text_string(text, "  a thread's rings may hold ");
    text_amount(text, policy->thread_bytes_max);
    text_string(text, ", all rings ");
    text_amount(text, policy->all_bytes);
    text_string(text, ", the depot ");
    text_amount(text, policy->depot_bytes);
    if (policy->retained) {
        text_string(text, "; free memory of ");
        text_amount(text, policy->retained);
        text_string(text, " may stay, by the profile");
    }
    text_string(text, policy->thrift ? "; small rings, because most threads are idle\n" : "\n");
    for (unsigned c = 1; c <= class_last(); c++) {
        if (is_as_ever(policy, c))
            continue;
        if (!headed)
            text_string(text, "  size class  ring, most  static  refill %  overflow to  substitute %  pages in\n");
        headed = true;
        print_class(text, c, &policy->class[c], &policy_static.class[c]);
    }
    if (!headed)
        text_string(text, "  all size classes as in the static policy\n");
}

static void print_effect(struct text *text, const struct decision *d)
{
    text_string(text, "           effect: ");
    text_string(text, explain_words(d->rule).measure);
    text_string(text, " ");
    text_decimal(text, d->before);
    if (d->outcome == OUTCOME_KEPT || d->outcome == OUTCOME_TAKEN_BACK) {
        text_string(text, " -> ");
        text_decimal(text, d->after);
    }
    text_string(text, ": ");
    text_string(text, outcomes[d->outcome]);
    text_string(text, "\n");
}

static void print_decision(struct text *text, const struct decision *d)
{
    const struct rule_words rule = explain_words(d->rule);
    text_string(text, "  ");
    print_seconds(text, d->milliseconds, 4);
    text_string(text, " s  ");
    text_string(text, rule.name);
    if (d->class_id > 0) {
        text_string(text, ", size class ");
        text_decimal(text, class_size(d->class_id));
        text_string(text, " B");
    }
    text_string(text, ": ");
    text_decimal(text, d->from);
    text_string(text, " -> ");
    text_decimal(text, d->to);
    text_string(text, "\n           ");
    text_string(text, rule.what);
    text_string(text, ": ");
    text_string(text, rule.reason);
    text_string(text, " (");
    print_number(text, d->a, rule.unit_a);
    text_string(text, ", ");
    print_number(text, d->b, rule.unit_b);
    text_string(text, ")\n");
    print_effect(text, d);
}

static void print_advice(struct text *text)
{
    if (option(OPTION_LEARN) == LEARN_SHADOW && copy.decisions > 0)
        text_string(text, "  nothing was changed: HAKMEM_LEARN=on does it\n");
    else if (option(OPTION_LEARN) == LEARN_ON && copy.decisions > 0 && option(OPTION_PROFILE) == 0)
        text_string(text, "  to begin with this policy the next time: HAKMEM_PROFILE=file\n");
    else if (copy.decisions == 0)
        text_string(text, "  nothing to learn: slow paths are rare, or no rule has a reason\n");
}

static void print_decisions(struct text *text)
{
    text_string(text, "  ");
    text_decimal(text, copy.decisions);
    text_string(text, copy.decisions == 1 ? " decision in " : " decisions in ");
    print_seconds(text, copy.milliseconds, 0);
    text_string(text, " s; counts are for 0.1 s of processor time\n");
    for (uint32_t i = 0; i < decisions_kept(); i++)
        print_decision(text, decision_at(i));
    print_advice(text);
}

/* ---- Options that somebody set, for people ----------------------------------------------------------------------- */

static void print_source(struct text *text, const struct option_source *source)
{
    if (source->origin == OPTION_BY_ENVIRONMENT) {
        text_string(text, "the environment\n");
        return;
    }
    text_string(text, options_file());
    text_string(text, ", line ");
    text_decimal(text, source->line);
    text_string(text, source->section.start ? ", [" : ", for all programs\n");
    if (source->section.start) {
        text_span(text, source->section.start, source->section.length);
        text_string(text, "]\n");
    }
}

/* Whoever reads this has asked for it by one, at least. */
static void print_options(struct text *text)
{
    text_string(text, "hakmem options, and where they were set\n");
    for (unsigned id = 0; id < OPTION_COUNT; id++) {
        if (option_sources[id].origin == OPTION_BY_DEFAULT)
            continue;
        text_string(text, "  ");
        text_string(text, option_name(id));
        text_string(text, " = ");
        option_write(text, id);
        text_string(text, ": ");
        print_source(text, &option_sources[id]);
    }
}

/* ---- Memory that is kept, and limits, for people ----------------------------------------------------------------- */

static void print_bytes(struct text *text, uint64_t bytes, const char *what)
{
    text_bytes(text, bytes);
    text_string(text, "  ");
    text_string(text, what);
}

static void print_times(struct text *text, uint64_t count, const char *what)
{
    text_right(text, count, 12);
    text_string(text, "  times ");
    text_string(text, what);
}

static const char *bound_words(enum retain_bound bound)
{
    switch (bound) {
    case RETAIN_BY_HAND: return "                but no more than the program has in hand, or 16 MiB\n";
    case RETAIN_BY_PEAK: return "                but no more than it had in hand lately, with what it has now\n";
    case RETAIN_BY_LIMIT: return "                but no more than a limit leaves\n";
    default: return "";
    }
}

static void print_kept(struct text *text, const struct retain_report *kept)
{
    print_bytes(text, kept->in_hand, "in the program's hands and in threads' rings; peak lately ");
    text_amount(text, kept->peak);
    text_string(text, "\n");
    print_bytes(text, kept->dirty, "free memory that is resident, beside threads' rings; so much may be:\n");
    print_bytes(text, kept->may, "  in all,\n");
    print_bytes(text, kept->always, "  in any case,\n");
    print_bytes(text, kept->missed, "  because so much went back and was needed again,\n");
    print_bytes(text, kept->large, "  and for large blocks, between which others come and go\n");
    text_string(text, bound_words(kept->bound));
    if (kept->spare > 0) {
        print_bytes(text, kept->spare, "of it was not needed lately, and goes if it is not for another");
        print_seconds(text, kept->milliseconds, 2);
        text_string(text, " s\n");
    }
    print_bytes(text, kept->purged, "went back to the system so far\n");
}

static void print_own_limit(struct text *text, size_t limit, size_t counted)
{
    uint64_t value = option(OPTION_LIMIT);
    print_bytes(text, limit, "limit by HAKMEM_LIMIT");
    if (value & OPTION_PERCENT) {
        text_string(text, ", ");
        text_decimal(text, value & ~OPTION_PERCENT);
        text_string(text, " % of the machine's or the control group's memory");
    }
    text_string(text, ": runs and very large blocks in use count, and free memory that is resident\n");
    print_bytes(text, counted, "  of that is in use\n");
}

static void print_group_limit(struct text *text, const struct limit_report *limit, const char *file)
{
    print_bytes(text, limit->group, "limit by ");
    text_string(text, file);
    text_string(text, " (control groups, version ");
    text_decimal(text, limit->version);
    text_string(text, "): all that its processes have counts, but for the page cache\n");
    print_bytes(text, limit->group_used, "  of that is in use\n");
}

/* What came of limits. */
static void print_limit_effects(struct text *text, const struct limit_report *limit)
{
    if (limit->most < SIZE_MAX)
        print_bytes(text, limit->most, "may be handed out and free, by that and by what others have\n");
    print_times(text, limit->nears,
                "that less than an eighth was left: rings are emptied then, and no huge pages asked for\n");
    print_bytes(text, limit->purged, "went back because of a limit\n");
    if (limit->refusals > 0)
        print_times(text, limit->refusals, "that memory was refused, by HAKMEM_LIMIT_HARD\n");
}

enum { FILE_CAPACITY = 512 };

static void print_limits(struct text *text, size_t counted)
{
    char file[FILE_CAPACITY];
    struct limit_report limit;
    limit_tell(&limit, file, sizeof file);
    if (limit.own < SIZE_MAX)
        print_own_limit(text, limit.own, counted);
    if (limit.group < SIZE_MAX)
        print_group_limit(text, &limit, file);
    if (limit.own < SIZE_MAX || limit.group < SIZE_MAX)
        print_limit_effects(text, &limit);
    else
        text_string(text, limit.version ? "  no limit: HAKMEM_LIMIT is not set, and no control group has one\n"
                                        : "  no limit: HAKMEM_LIMIT is not set, and control groups are not known\n");
}

static void print_memory(struct text *text)
{
    struct retain_report kept;
    retain_tell(&kept);
    text_string(text, "hakmem memory, and why free memory is kept\n");
    print_kept(text, &kept);
    print_limits(text, kept.counted);
    if (!huge_is(HUGE_LEARN))
        text_string(text, huge_is(HUGE_NEVER) ? "  no huge pages, by HAKMEM_HUGE\n"
                                              : "  huge pages for all blocks, by HAKMEM_HUGE\n");
}

COLD void explain_print(int fd)
{
    struct text text;
    text_begin(&text, fd);
    text_fold(&text, ITEM_INDENT);
    text_string(&text, "hakmem policy, learner ");
    text_string(&text, modes[option(OPTION_LEARN)]);
    text_string(&text, ", ");
    text_process(&text);
    text_string(&text, "\n");
    print_policy(&text, policy_now());
    if (copy_take()) {
        text_fold(&text, DECISION_INDENT);
        print_decisions(&text);
        copy_leave();
    }
    text_fold(&text, AMOUNT_INDENT);
    print_memory(&text);
    text_fold(&text, ITEM_INDENT);
    print_options(&text);
    text_end(&text);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* `"name": value`, after a comma unless it is the first. */
static void json_number(struct text *text, const char *separator, const char *name, uint64_t value)
{
    text_string(text, separator);
    text_string(text, "\"");
    text_string(text, name);
    text_string(text, "\": ");
    text_decimal(text, value);
}

static void json_string(struct text *text, const char *separator, const char *name, const char *value)
{
    text_string(text, separator);
    text_string(text, "\"");
    text_string(text, name);
    text_string(text, "\": \"");
    text_string(text, value); /* words of ours: nothing to escape */
    text_string(text, "\"");
}

static void json_class(struct text *text, unsigned c, const struct class_policy *class, bool is_first)
{
    json_number(text, is_first ? "{" : ", {", "size", class_size(c));
    json_number(text, ", ", "capacity", class->capacity);
    json_number(text, ", ", "static_capacity", policy_static.class[c].capacity);
    json_number(text, ", ", "batch", class->batch);
    json_number(text, ", ", "hands_over", class->hands_over);
    json_number(text, ", ", "wmax", 100u + class->wmax);
    json_number(text, ", ", "huge", class->huge);
    json_number(text, ", ", "apart", class->apart);
    json_number(text, ", ", "fitted", c == CLASS_FITTED);
    text_string(text, "}");
}

static void json_policy(struct text *text, const struct policy *policy)
{
    json_number(text, "\"policy\": {", "version", policy->version);
    json_number(text, ", ", "thrift", policy->thrift);
    json_number(text, ", ", "rests", policy->rests);
    json_number(text, ", ", "thread_bytes_max", policy->thread_bytes_max);
    json_number(text, ", ", "all_bytes", policy->all_bytes);
    json_number(text, ", ", "depot_bytes", policy->depot_bytes);
    json_number(text, ", ", "retained", policy->retained);
    text_string(text, ", \"classes\": [");
    for (unsigned c = 1; c <= class_last(); c++)
        json_class(text, c, &policy->class[c], c == 1);
    text_string(text, "]}");
}

static void json_decision(struct text *text, const struct decision *d, bool is_first)
{
    const struct rule_words rule = explain_words(d->rule);
    json_number(text, is_first ? "{" : ", {", "milliseconds", d->milliseconds);
    json_string(text, ", ", "rule", rule.name);
    json_number(text, ", ", "size_class", d->class_id ? class_size(d->class_id) : 0);
    json_number(text, ", ", "from", d->from);
    json_number(text, ", ", "to", d->to);
    json_string(text, ", ", "what", rule.what);
    json_string(text, ", ", "reason", rule.reason);
    json_number(text, ", \"numbers\": {", rule.unit_a, d->a);
    json_number(text, ", ", rule.unit_b, d->b);
    json_string(text, "}, ", "measure", rule.measure);
    json_number(text, ", ", "before", d->before);
    if (d->outcome == OUTCOME_KEPT || d->outcome == OUTCOME_TAKEN_BACK)
        json_number(text, ", ", "after", d->after);
    json_string(text, ", ", "outcome", outcomes[d->outcome]);
    text_string(text, "}");
}

/* Names of files have quotes and backslashes. */
static void json_escaped(struct text *text, const char *separator, const char *name, struct piece value)
{
    text_string(text, separator);
    text_string(text, "\"");
    text_string(text, name);
    text_string(text, "\": \"");
    for (const char *p = value.start; p < value.start + value.length; p++) {
        if (*p == '"' || *p == '\\')
            text_string(text, "\\");
        text_span(text, (unsigned char)*p < ' ' ? "?" : p, 1);
    }
    text_string(text, "\"");
}

static void json_option(struct text *text, enum option_id id, bool is_first)
{
    const struct option_source *source = &option_sources[id];
    struct text value; /* shorter than its buffer: an option's text is no longer than a path */
    text_begin(&value, -1);
    option_write(&value, id);
    json_string(text, is_first ? "{" : ", {", "name", option_name(id));
    json_escaped(text, ", ", "value", (struct piece){value.buffer, value.length});
    if (source->origin == OPTION_BY_FILE) {
        json_escaped(text, ", ", "file", piece_of(options_file()));
        json_number(text, ", ", "line", source->line);
        if (source->section.start)
            json_escaped(text, ", ", "section", source->section);
    }
    text_string(text, "}");
}

static void json_options(struct text *text)
{
    bool is_first = true;
    text_string(text, ", \"options\": [");
    for (unsigned id = 0; id < OPTION_COUNT; id++)
        if (option_sources[id].origin != OPTION_BY_DEFAULT) {
            json_option(text, id, is_first);
            is_first = false;
        }
    text_string(text, "]");
}

static uint64_t known_or_0(size_t limit) { return limit == SIZE_MAX ? 0 : limit; }

static void json_memory(struct text *text)
{
    static const char *const bounds[] = {[RETAIN_BY_REGRET] = "needed again", [RETAIN_BY_HAND] = "in hand",
                                         [RETAIN_BY_PEAK] = "recent peak", [RETAIN_BY_LIMIT] = "limit"};
    char file[FILE_CAPACITY] = "";
    struct retain_report kept;
    struct limit_report limit;
    retain_tell(&kept);
    limit_tell(&limit, file, sizeof file);
    json_number(text, ", \"memory\": {", "in_hand", kept.in_hand);
    json_number(text, ", ", "recent_peak", kept.peak);
    json_number(text, ", ", "kept", kept.dirty);
    json_number(text, ", ", "kept_most", kept.may);
    json_number(text, ", ", "missed", kept.missed);
    json_number(text, ", ", "large", kept.large);
    json_string(text, ", ", "bound", bounds[kept.bound]);
    json_number(text, ", ", "spare", kept.spare);
    json_number(text, ", ", "spare_goes_in_milliseconds", kept.milliseconds);
    json_number(text, ", ", "purged", kept.purged);
    json_number(text, ", ", "counted", kept.counted);
    json_number(text, ", ", "limit_own", known_or_0(limit.own));
    json_number(text, ", ", "limit_group", known_or_0(limit.group));
    json_number(text, ", ", "group_used", limit.group_used);
    json_escaped(text, ", ", "group_file", piece_of(file));
    json_number(text, ", ", "limit_most", known_or_0(limit.most));
    json_number(text, ", ", "limit_nears", limit.nears);
    json_number(text, ", ", "limit_purged", limit.purged);
    json_number(text, ", ", "limit_refusals", limit.refusals);
    text_string(text, "}");
}

COLD void explain_json(int fd)
{
    struct text text;
    text_begin(&text, fd);
    json_string(&text, "{", "learner", modes[option(OPTION_LEARN)]);
    text_string(&text, ", ");
    json_policy(&text, policy_now());
    json_memory(&text);
    json_options(&text);
    text_string(&text, ", \"decisions\": [");
    if (copy_take()) {
        for (uint32_t i = 0; i < decisions_kept(); i++)
            json_decision(&text, decision_at(i), i == 0);
        copy_leave();
    }
    text_string(&text, "]}\n");
    text_end(&text);
}
