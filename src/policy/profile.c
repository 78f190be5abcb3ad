#include "policy/profile.h"

#include "system/error.h"
#include "policy/learn.h"
#include "system/lock.h"
#include "system/options.h"
#include "system/os_executable.h"
#include "heap/retain.h"
#include "system/store.h"
#include "system/text.h"

#include <errno.h>

#define HEAD "hakmem profile"
enum { VERSION = 4 };

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
static void hash_text(const char *text, size_t length, char out[static PROFILE_HASH_LETTERS + 1])
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    for (unsigned i = 0; i < PROFILE_HASH_LETTERS; i++, hash >>= 4)
        out[i] = "0123456789abcdef"[hash & 15];
    out[PROFILE_HASH_LETTERS] = 0;
}

static void put_hash(struct buffer *out, const char *text, size_t length)
{
    char letters[PROFILE_HASH_LETTERS + 1];
    hash_text(text, length, letters);
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

COLD size_t profile_compose(char *text, const struct profile_program *program, const struct policy *base,
                            const struct policy *policy)
{
    struct buffer out = {text, 0};
    struct policy awake = *policy; /* that many threads are idle is not known before there are many */
    if (awake.thrift)
        policy_set_thrift(&awake, base, false);
    put_string(&out, HEAD);
    put_number(&out, VERSION);
    put_string(&out, "\nprogram ");
    put_string(&out, program->name);
    put_string(&out, " ");
    put_string(&out, program->place);
    put_string(&out, "\nbuild ");
    put_string(&out, program->build);
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

/* What follows "class". `seen`: a bit for each class that had a line already; each has one. */
static bool get_class(struct reader *in, struct policy *out, uint64_t *seen)
{
    uint64_t size, capacity, batch, hands_over, wmax, huge;
    if (!get_number(in, CLASS_MAX_SIZE, &size) || !get_number(in, POLICY_RING_MAX, &capacity) ||
        !get_number(in, POLICY_BATCH_MAX, &batch) || !get_number(in, 1, &hands_over) ||
        !get_number(in, POLICY_WMAX_MAX, &wmax) || !get_number(in, 1, &huge) || !get_string(in, "\n"))
        return false;
    unsigned c = class_of_block(size);
    if (c == 0 || (*seen >> c & 1) || capacity < 1 || batch < 1 ||
        capacity > max_size(policy_capacity_limit(c), out->class[c].capacity))
        return false;
    *seen |= (uint64_t)1 << c;
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
    char line[PROFILE_HASH_LETTERS + 8];
    struct buffer expected = {line, 0};
    size_t size = sizeof "end " - 1 + PROFILE_HASH_LETTERS + 1;
    if (length < size)
        return false;
    put_string(&expected, "end ");
    put_hash(&expected, text, length - size + sizeof "end " - 1);
    put_string(&expected, "\n");
    return __builtin_memcmp(line, text + length - size, size) == 0;
}

static const char of_another_program[] = "of another program; a directory holds one for each";
static const char of_another_build[] = "of another build of the program";
static const char of_another_version[] = "of another version of hakmem";

/* All versions begin like this, from 4 on with the program. */
static bool get_head(struct reader *in, uint64_t *version) { return get_line(in, HEAD, UINT32_MAX, version); }

/* Whether what follows names this program, wherever it lies. */
static bool get_program(struct reader *in, const struct profile_program *program)
{
    return get_string(in, "program ") && get_string(in, program->name) && get_string(in, " ");
}

static bool get_build(struct reader *in, const struct profile_program *program)
{
    return get_string(in, "\nbuild ") && get_string(in, program->build) && get_string(in, "\n");
}

/* Moves past the place, whatever it is; whether it is the program's. */
static bool get_place(struct reader *in, const struct profile_program *program)
{
    struct reader start = *in;
    while (in->next < in->end && *in->next != '\n')
        in->next++;
    return get_string(&start, program->place);
}

COLD enum store_verdict profile_judge(const char *text, size_t length, const struct profile_program *program)
{
    struct reader in = {text, text + length};
    uint64_t version;
    if (!get_head(&in, &version) || !hash_is_right(text, length))
        return STORE_FOREIGN;
    if (version < VERSION)
        return STORE_OWN;
    if (!get_program(&in, program))
        return STORE_OTHERS;
    bool in_place = get_place(&in, program);
    return in_place && !get_build(&in, program) ? STORE_OLD : STORE_OWN;
}

COLD const char *profile_parse(const char *text, size_t length, const struct profile_program *program,
                               const struct policy *base, struct policy *out)
{
    struct reader in = {text, text + length};
    uint64_t version, fitted, rests, thread_bytes, depot_bytes, retained;
    if (!get_head(&in, &version))
        return "not a profile";
    if (!hash_is_right(text, length))
        return "damaged";
    if (version != VERSION)
        return of_another_version;
    if (!get_program(&in, program))
        return of_another_program;
    get_place(&in, program);
    if (!get_build(&in, program))
        return of_another_build;
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
    uint64_t seen = 0;
    while (get_string(&in, "class"))
        if (!get_class(&in, out, &seen))
            return "damaged";
    return get_string(&in, "end ") && policy_is_valid(out) ? NULL : "damaged";
}

/* ---- The program ------------------------------------------------------------------------------------------------- */

/* The name of the executable, in letters that are safe in a file's name and in a line of a profile. */
static void name_copy(const char *path, char out[static PROFILE_NAME_MAX + 1])
{
    const char *name = piece_base(piece_of(path)).start;
    size_t length = 0;
    for (; name[length] && length < PROFILE_NAME_MAX; length++) {
        char c = name[length];
        bool is_safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '+' || (c == '.' && length > 0);
        out[length] = is_safe ? c : '_';
    }
    out[length] = 0;
}

COLD void profile_program_find(struct profile_program *out)
{
    enum { PATH_LETTERS = 512 };
    char path[PATH_LETTERS];
    os_executable(path, sizeof path);
    name_copy(path, out->name);
    hash_text(path, text_length(path), out->place);
    os_build_id(out->build);
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

static SPARSE char file_text[PROFILE_MAX];
static SPARSE struct store kept_in;
static SPARSE struct profile_program this_program;
static bool is_kept;                   /* the two above are known */
static bool has_warned;                 /* what is wrong with the file was said */
static const struct policy *begun_with; /* the policy at the start */

static enum store_verdict judge_kept(const char *text, size_t length)
{
    return profile_judge(text, length, &this_program);
}

/* Once. In a directory that many programs share nobody is told who did not ask for a report: each small program that a
 * script starts would say it. */
static COLD void warn(enum warning_id id, const char *what)
{
    bool is_shared = kept_in.program > 0, asked = option(OPTION_STATS) || option(OPTION_EXPLAIN);
    if (!has_warned && (!is_shared || asked))
        error_warn(id, option_path(OPTION_PROFILE), option(OPTION_PROFILE), what);
    has_warned = true;
}

/* Why a file is left alone; NULL where that is not the file's fault. */
static COLD const char *fault_of(int error)
{
    switch (error) {
    case ELOOP: return "a symbolic link";
    case ENODEV: return "not a regular file";
    case EPERM: return "another user's file, or one that everybody may write to";
    case EMLINK: return "a file with several names";
    case EINVAL: return "there is a file that is not a profile";
    case EFBIG: return "too large";
    case EBUSY: return of_another_program;
    default: return NULL;
    }
}

/* Whether a profile that is of no use now will be replaced at the end. */
static bool is_renewed(const char *fault)
{
    return (fault == of_another_build || fault == of_another_version) && option(OPTION_LEARN) == LEARN_ON;
}

static COLD void profile_read(void)
{
    size_t length = 0;
    struct policy base, policy;
    int error = store_read(&kept_in, file_text, &length);
    if (error && !fault_of(error))
        return; /* the first run, or none of our business: whether it can be written will show */
    if (length == 0 && !error && kept_in.program > 0)
        return;
    policy_base(&base);
    const char *fault = error ? fault_of(error) : profile_parse(file_text, length, &this_program, &base, &policy);
    if (fault && !is_renewed(fault))
        warn(WARNING_PROFILE, fault);
    if (!fault && option(OPTION_LEARN) != LEARN_SHADOW && policy_publish(&policy)) {
        begun_with = policy_now();
        retain_begin(begun_with->retained);
    }
}

static COLD void profile_find(void)
{
    profile_program_find(&this_program);
    is_kept = store_find(&kept_in, option_path(OPTION_PROFILE), this_program.name, this_program.build, judge_kept);
    if (is_kept)
        profile_read();
    else
        warn(WARNING_PROFILE, "its path is too long");
}

void profile_load(void)
{
    begun_with = policy_now();
    if (option(OPTION_PROFILE) > 0 && option(OPTION_LEARN) != LEARN_OFF)
        profile_find();
}

/* Whether the budget for free memory came to be another than the one at the start. */
static bool retains_otherwise(size_t lasting)
{
    enum { LITTLE = 1 << 20 };
    size_t begun = begun_with->retained, difference = lasting > begun ? lasting - begun : begun - lasting;
    return difference > max_size(LITTLE, begun / 4);
}

static COLD void profile_write(void)
{
    size_t lasting = min_size(retain_lasting(), POLICY_RETAINED_MAX);
    struct policy base, policy = *policy_now();
    if (policy_now() == begun_with && !retains_otherwise(lasting))
        return;
    policy.retained = lasting;
    policy_base(&base);
    size_t length = profile_compose(file_text, &this_program, &base, &policy);
    int error = length >= PROFILE_MAX ? EFBIG : store_write(&kept_in, file_text, length);
    if (error && error != EBUSY) /* another program's that was not there at the start: the next start says so */
        warn(WARNING_PROFILE_SAVE, fault_of(error) ? fault_of(error) : "it cannot be written");
}

void profile_save(void)
{
    if (is_kept && option(OPTION_LEARN) == LEARN_ON)
        profile_write();
}
