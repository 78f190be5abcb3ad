#include "insight/explain.h"

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
    text_right(text, fixed->capacity, 12);
    text_right(text, now->batch * 25u, 12);
    text_string(text, now->hands_over ? "   threads" : "     pages");
    text_right(text, 100u + now->wmax, 12);
    text_string(text, now->huge ? "      huge" : "     small");
    text_string(text, c == CLASS_FITTED ? "  (fitted)\n" : "\n");
}

static bool is_as_ever(const struct policy *policy, unsigned c)
{
    const struct class_policy *now = &policy->class[c], *fixed = &policy_static.class[c];
    bool hands_over = fixed->hands_over && !policy->thrift; /* said once for all classes */
    return c != CLASS_FITTED && now->capacity == fixed->capacity && now->batch == fixed->batch &&
           now->hands_over == hands_over && now->wmax == fixed->wmax && now->huge == fixed->huge;
}

static void print_policy(struct text *text, const struct policy *policy)
{
    bool headed = false;
    text_string(text, "  a thread's rings may hold");
    text_bytes(text, policy->thread_bytes_max);
    text_string(text, ", all rings");
    text_bytes(text, policy->all_bytes);
    text_string(text, ", the depot");
    text_bytes(text, policy->depot_bytes);
    if (policy->retained) {
        text_string(text, "; free memory of");
        text_bytes(text, policy->retained);
        text_string(text, " may stay, by the profile");
    }
    text_string(text, policy->thrift ? "; small rings, because most threads are idle\n" : "\n");
    for (unsigned c = 1; c <= class_last(); c++) {
        if (is_as_ever(policy, c))
            continue;
        if (!headed)
            text_string(text, "  size class  ring, most      static    refill %  overflow to   substitute %  pages in\n");
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
    text_string(text, " decisions in ");
    print_seconds(text, copy.milliseconds, 0);
    text_string(text, " s; counts are for 0.1 s of processor time\n");
    for (uint32_t i = 0; i < decisions_kept(); i++)
        print_decision(text, decision_at(i));
    print_advice(text);
}

COLD void explain_print(int fd)
{
    struct text text;
    text_begin(&text, fd);
    text_string(&text, "hakmem policy, learner ");
    text_string(&text, modes[option(OPTION_LEARN)]);
    text_string(&text, ", ");
    text_process(&text);
    text_string(&text, "\n");
    print_policy(&text, policy_now());
    if (copy_take()) {
        print_decisions(&text);
        copy_leave();
    }
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

COLD void explain_json(int fd)
{
    struct text text;
    text_begin(&text, fd);
    json_string(&text, "{", "learner", modes[option(OPTION_LEARN)]);
    text_string(&text, ", ");
    json_policy(&text, policy_now());
    text_string(&text, ", \"decisions\": [");
    if (copy_take()) {
        for (uint32_t i = 0; i < decisions_kept(); i++)
            json_decision(&text, decision_at(i), i == 0);
        copy_leave();
    }
    text_string(&text, "]}\n");
    text_end(&text);
}
