#include "profile.h"

#include "error.h"
#include "learn.h"
#include "lock.h"
#include "options.h"
#include "os.h"
#include "retain.h"

#define HEAD "hakmem profile 3\nbuild "
enum { HASH_LETTERS = 16 };

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

struct buffer {
    char *text;
    size_t length;
};

static void put_string(struct buffer *out, const char *string)
{
    while (*string && out->length < PROFILE_MAX)
        out->text[out->length++] = *string++;
}

static void put_number(struct buffer *out, uint64_t number)
{
    char digits[24], *p = digits + sizeof digits - 1;
    *p = 0;
    do
        *--p = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    put_string(out, " ");
    put_string(out, p);
}

/* FNV-1a: finds damage, not malice. */
static void put_hash(struct buffer *out, const char *text, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    char letters[HASH_LETTERS + 1] = {0};
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    for (unsigned i = 0; i < HASH_LETTERS; i++, hash >>= 4)
        letters[i] = "0123456789abcdef"[hash & 15];
    put_string(out, letters);
}

static void put_class(struct buffer *out, unsigned c, const struct class_policy *class)
{
    put_string(out, "class");
    put_number(out, class_size(c));
    put_number(out, class->capacity);
    put_number(out, class->batch);
    put_number(out, class->hands_over);
    put_number(out, class->wmax);
    put_number(out, class->huge);
    put_string(out, "\n");
}

static bool class_differs(const struct class_policy *a, const struct class_policy *b)
{
    return a->capacity != b->capacity || a->batch != b->batch || a->hands_over != b->hands_over || a->wmax != b->wmax ||
           a->huge != b->huge;
}

COLD size_t profile_compose(char *text, const char *build_id, const struct policy *base, const struct policy *policy)
{
    struct buffer out = {text, 0};
    struct policy awake = *policy; /* that many threads are idle is not known before there are many */
    if (awake.thrift)
        policy_set_thrift(&awake, base, false);
    put_string(&out, HEAD);
    put_string(&out, build_id);
    put_string(&out, "\nfitted");
    put_number(&out, awake.fitted);
    put_string(&out, "\nrests");
    put_number(&out, awake.rests);
    put_string(&out, "\nthread_bytes");
    put_number(&out, awake.thread_bytes_max);
    put_string(&out, "\ndepot_bytes");
    put_number(&out, awake.depot_bytes);
    put_string(&out, "\nretained");
    put_number(&out, awake.retained);
    put_string(&out, "\n");
    for (unsigned c = 1; c <= class_last(); c++)
        if (class_differs(&awake.class[c], &base -> class[c]))
            put_class(&out, c, &awake.class[c]);
    put_string(&out, "end ");
    put_hash(&out, text, out.length);
    put_string(&out, "\n");
    return out.length;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

struct reader {
    const char *next, *end;
};

/* Moves past the word, if it comes next. */
static bool get_string(struct reader *in, const char *word)
{
    const char *p = in->next;
    while (*word && p < in->end && *p == *word)
        p++, word++;
    if (*word)
        return false;
    in->next = p;
    return true;
}

/* A blank and a number of up to 18 digits, at most `most`. */
static bool get_number(struct reader *in, uint64_t most, uint64_t *out)
{
    unsigned digits = 0;
    *out = 0;
    if (!get_string(in, " "))
        return false;
    for (; in->next < in->end && *in->next >= '0' && *in->next <= '9' && digits < 18; digits++)
        *out = *out * 10 + (uint64_t)(*in->next++ - '0');
    return digits > 0 && *out <= most;
}

static bool get_line(struct reader *in, const char *name, uint64_t most, uint64_t *out)
{
    return get_string(in, name) && get_number(in, most, out) && get_string(in, "\n");
}

/* The class whose blocks have this size; 0: none. */
static unsigned class_of_block(uint64_t size)
{
    unsigned c = size >= 1 && size <= CLASS_MAX_SIZE ? class_of(size) : 0;
    return c && class_size(c) == size ? c : 0;
}

/* What follows "class". */
static bool get_class(struct reader *in, struct policy *out)
{
    uint64_t size, capacity, batch, hands_over, wmax, huge;
    if (!get_number(in, CLASS_MAX_SIZE, &size) || !get_number(in, POLICY_RING_MAX, &capacity) ||
        !get_number(in, POLICY_BATCH_MAX, &batch) || !get_number(in, 1, &hands_over) ||
        !get_number(in, POLICY_WMAX_MAX, &wmax) || !get_number(in, 1, &huge) || !get_string(in, "\n"))
        return false;
    unsigned c = class_of_block(size);
    if (c == 0 || capacity < 1 || batch < 1 || capacity > max_size(policy_capacity_limit(c), out->class[c].capacity))
        return false;
    struct class_policy *class = &out->class[c];
    class->capacity = (uint16_t)capacity;
    class->first = (uint16_t)min_size(class->first, capacity);
    class->batch = (uint8_t)batch;
    class->hands_over = hands_over != 0;
    class->wmax = (uint8_t)wmax;
    class->huge = huge != 0;
    return true;
}

/* Whether the last line holds the checksum of those before it. */
static bool hash_is_right(const char *text, size_t length)
{
    char line[HASH_LETTERS + 8];
    struct buffer expected = {line, 0};
    size_t size = sizeof "end " - 1 + HASH_LETTERS + 1;
    if (length < size)
        return false;
    put_string(&expected, "end ");
    put_hash(&expected, text, length - size + sizeof "end " - 1);
    put_string(&expected, "\n");
    return __builtin_memcmp(line, text + length - size, size) == 0;
}

static const char of_another[] = "of another program, or another build of it";

COLD const char *profile_parse(const char *text, size_t length, const char *build_id, const struct policy *base,
                          struct policy *out)
{
    struct reader in = {text, text + length};
    uint64_t fitted, rests, thread_bytes, depot_bytes, retained;
    if (!get_string(&in, HEAD))
        return "not a profile of this version of hakmem";
    if (!get_string(&in, build_id) || !get_string(&in, "\n"))
        return of_another;
    if (!hash_is_right(text, length))
        return "damaged";
    if (!get_line(&in, "fitted", CLASS_TABLE_MAX, &fitted) || !get_line(&in, "rests", 1, &rests) ||
        !get_line(&in, "thread_bytes", POLICY_THREAD_BYTES_MAX, &thread_bytes) ||
        thread_bytes < base->thread_bytes_min || !get_line(&in, "depot_bytes", POLICY_DEPOT_BYTES_MAX, &depot_bytes) ||
        !get_line(&in, "retained", POLICY_RETAINED_MAX, &retained))
        return "damaged";
    *out = *base;
    out->rests = rests != 0;
    out->thread_bytes_max = thread_bytes;
    out->depot_bytes = depot_bytes;
    out->retained = retained;
    out->depot_slots = depot_bytes > base->depot_bytes ? POLICY_DEPOT_SLOTS_MAX : base->depot_slots;
    if (fitted != 0 && base->fitted == 0 && !policy_fit(out, fitted))
        return "damaged";
    while (get_string(&in, "class"))
        if (!get_class(&in, out))
            return "damaged";
    return get_string(&in, "end ") && policy_is_valid(out) ? NULL : "damaged";
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

static SPARSE char file_text[PROFILE_MAX];
static bool is_others;      /* the file is another program's, as where a shell starts one: not this one's to replace */
static const struct policy *begun_with; /* the policy at the start */

static void warn(const char *what) { error_warn(WARNING_PROFILE, option_path, option(OPTION_PROFILE), what); }

COLD void profile_load(void)
{
    size_t length;
    char build_id[OS_BUILD_ID_MAX];
    struct policy base, policy;
    begun_with = policy_now();
    if (option(OPTION_PROFILE) == 0 || option(OPTION_LEARN) == LEARN_OFF)
        return;
    if (os_file_read(option_path, file_text, sizeof file_text, &length))
        return; /* the first run, or none of our business: whether it can be written will show */
    policy_base(&base);
    os_build_id(build_id);
    const char *fault = profile_parse(file_text, length, build_id, &base, &policy);
    is_others = fault == of_another;
    if (fault)
        warn(fault);
    else if (option(OPTION_LEARN) != LEARN_SHADOW && policy_publish(&policy)) {
        begun_with = policy_now();
        retain_begin(begun_with->retained);
    }
}

/* Whether the budget for free memory came to be another than the one at the start. */
static bool retains_otherwise(size_t lasting)
{
    enum { LITTLE = 1 << 20 };
    size_t begun = begun_with->retained, difference = lasting > begun ? lasting - begun : begun - lasting;
    return difference > max_size(LITTLE, begun / 4);
}

COLD void profile_save(void)
{
    char build_id[OS_BUILD_ID_MAX];
    struct policy base, policy;
    size_t lasting = min_size(retain_lasting(), POLICY_RETAINED_MAX);
    if (option(OPTION_PROFILE) == 0 || option(OPTION_LEARN) != LEARN_ON || is_others ||
        (policy_now() == begun_with && !retains_otherwise(lasting)))
        return;
    policy = *policy_now();
    policy.retained = lasting;
    policy_base(&base);
    os_build_id(build_id);
    size_t length = profile_compose(file_text, build_id, &base, &policy);
    if (length >= PROFILE_MAX || os_file_replace(option_path, file_text, length))
        warn("it cannot be written");
}
