#include "system/options.h"

#include "system/error.h"
#include "system/os.h"
#include "base/word.h"

uint64_t option_values[OPTION_COUNT] = {
#define X(id, name, kind, value, min, max, doc) value,
#include "system/options.def"
#undef X
};

enum option_kind { FLAG, COUNT, SHARE, SIZE, PATH, LIST, LEARN, REPORT, KINDS };

static const struct option_info {
    const char *name;
    enum option_kind kind;
    uint64_t min, max;
} option_info[OPTION_COUNT] = {
#define X(id, name, kind, value, min, max, doc) {name, kind, min, max},
#include "system/options.def"
#undef X
};

/* A piece of the environment's text; not terminated. */
struct piece {
    const char *start;
    size_t length;
};

static bool piece_is(struct piece piece, const char *word)
{
    size_t i = 0;
    while (i < piece.length && word[i] && word_lower(piece.start[i]) == word[i])
        i++;
    return i == piece.length && !word[i];
}

/* The rest of `string` behind `prefix`, or NULL when it does not begin so. */
static const char *after_prefix(const char *string, const char *prefix)
{
    while (*prefix)
        if (*string++ != *prefix++)
            return NULL;
    return string;
}

static struct piece piece_until(const char *start, char end)
{
    struct piece piece = {start, 0};
    while (start[piece.length] && start[piece.length] != end)
        piece.length++;
    return piece;
}

static COLD unsigned distance(struct piece piece, unsigned id)
{
    return word_distance(piece.start, piece.length, option_info[id].name);
}

static COLD const char *nearest_name(struct piece piece)
{
    unsigned best = 0;
    for (unsigned i = 1; i < OPTION_COUNT; i++)
        if (distance(piece, i) < distance(piece, best))
            best = i;
    return option_info[best].name;
}

/* The words that stand for values. */
static bool parse_word(struct piece piece, enum option_kind kind, uint64_t *out)
{
    static const struct {
        const char *word;
        enum option_kind kind; /* FLAG: a word for all */
        unsigned value;
    } words[] = {
        {"0", FLAG, 0}, {"no", FLAG, 0}, {"off", FLAG, 0}, {"false", FLAG, 0},
        {"1", FLAG, 1}, {"yes", FLAG, 1}, {"on", FLAG, 1}, {"true", FLAG, 1},
        {"freeze", LEARN, LEARN_FREEZE}, {"shadow", LEARN, LEARN_SHADOW}, {"json", REPORT, REPORT_JSON},
    };
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        if (piece_is(piece, words[i].word) && (words[i].kind == FLAG || words[i].kind == kind)) {
            *out = words[i].value;
            return true;
        }
    return false;
}

static bool parse_count(struct piece piece, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < piece.length; i++) {
        char c = piece.start[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value))
            return false;
    }
    *out = value;
    return piece.length > 0;
}

/* "0.65", ".5" or "1": in hundredths; further digits are not taken. */
static bool parse_share(struct piece piece, uint64_t *out)
{
    struct piece whole = {piece.start, 0};
    uint64_t units = 0, hundredths = 0;
    while (whole.length < piece.length && piece.start[whole.length] != '.')
        whole.length++;
    struct piece rest = {piece.start + whole.length + 1, piece.length - whole.length - 1};
    bool has_rest = whole.length < piece.length;
    if (has_rest && (rest.length > 2 || !parse_count(rest, &hundredths)))
        return false;
    if (!(parse_count(whole, &units) || (has_rest && whole.length == 0)) || units > UINT32_MAX)
        return false;
    *out = units * 100 + hundredths * (has_rest && rest.length == 1 ? 10 : 1);
    return true;
}

/* "2G", "512m", "1048576", or "80%". */
static bool parse_size(struct piece piece, uint64_t *out)
{
    enum { SIZE_LEAST = 1 << 20 }; /* who asks for less has left out the unit */
    static const char units[] = "kmgt";
    struct piece number = {piece.start, piece.length - (piece.length > 0)};
    char last = piece.length > 0 ? word_lower(piece.start[piece.length - 1]) : 0;
    if (last == '%') {
        bool done = parse_count(number, out) && *out > 0 && *out <= 100;
        *out |= OPTION_PERCENT;
        return done;
    }
    unsigned shift = 0;
    for (unsigned i = 0; units[i]; i++)
        if (last == units[i])
            shift = 10 * (i + 1);
    if (!parse_count(shift > 0 ? number : piece, out) || *out >= OPTION_PERCENT >> shift)
        return false;
    *out <<= shift;
    return *out == 0 || *out >= SIZE_LEAST;
}

/* Five numbers of up to `max`; fewer leave the others 0. */
static bool parse_list(struct piece piece, uint64_t max, uint64_t *out)
{
    enum { ITEMS = 5, BITS = 12 };
    uint64_t list = 0;
    for (unsigned i = 0; i < ITEMS; i++) {
        struct piece item = {piece.start, 0};
        uint64_t value;
        while (item.length < piece.length && item.start[item.length] != ',' && item.start[item.length] != '/')
            item.length++;
        if (!parse_count(item, &value) || value > max)
            return false;
        list |= value << i * BITS;
        if (item.length == piece.length) {
            *out = list;
            return true;
        }
        piece = (struct piece){item.start + item.length + 1, piece.length - item.length - 1};
    }
    return false;
}

char option_path[256];

static bool parse_path(struct piece piece, uint64_t *out)
{
    if (piece.length >= sizeof option_path)
        return false;
    for (size_t i = 0; i < piece.length; i++)
        option_path[i] = piece.start[i];
    option_path[piece.length] = 0;
    *out = piece.length;
    return true;
}

static bool parse_value(struct piece piece, const struct option_info *info, uint64_t *out)
{
    switch (info->kind) {
    case COUNT: return parse_count(piece, out) && *out >= info->min && *out <= info->max;
    case SHARE: return parse_share(piece, out) && *out >= info->min && *out <= info->max;
    case SIZE: return parse_size(piece, out);
    case LIST: return parse_list(piece, info->max, out);
    case PATH: return parse_path(piece, out);
    default: return parse_word(piece, info->kind, out);
    }
}

static COLD void set_option(struct piece name, struct piece value)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        const struct option_info *info = &option_info[i];
        if (!piece_is(name, info->name))
            continue;
        uint64_t parsed;
        static const char *const takes[KINDS] = {
            [FLAG] = "0 or 1",
            [COUNT] = "a whole number in the option's range",
            [SHARE] = "a number such as 0.65 in the option's range",
            [SIZE] = "bytes, as 2G or 512M, or a percentage, as 80%",
            [PATH] = "the name of a file or directory, of up to 255 letters",
            [LIST] = "up to five whole numbers in the option's range",
            [LEARN] = "on, off, freeze or shadow",
            [REPORT] = "on, off or json",
        };
        if (parse_value(value, info, &parsed))
            option_values[i] = parsed;
        else
            error_warn(WARNING_OPTION_VALUE, name.start, (size_t)(value.start + value.length - name.start),
                       takes[info->kind]);
        return;
    }
    error_warn(WARNING_OPTION_UNKNOWN, name.start, name.length, nearest_name(name));
}

static void read_list(const char *list)
{
    while (*list) {
        struct piece item = piece_until(list, ',');
        struct piece name = piece_until(item.start, ':');
        list = item.start + item.length + (item.start[item.length] == ',');
        if (item.length == 0)
            continue;
        if (name.length >= item.length)
            error_warn(WARNING_OPTION_SYNTAX, item.start, item.length, "stats:1,check:0");
        else
            set_option(name, (struct piece){name.start + name.length + 1, item.length - name.length - 1});
    }
}

uint8_t check_mode;

static void choose_check_mode(void)
{
    if (option(OPTION_CHECK))
        check_mode = CHECK_EXACT;
    else if (option(OPTION_HARDEN))
        check_mode = option(OPTION_STATS) || option(OPTION_SITES) ? CHECK_WATCHED : CHECK_HARDENED;
}

/* The list first, so that a variable of its own overrides it. */
COLD void options_read(char *const *environment)
{
    if (!environment || os_is_privileged())
        return;
    for (int lists_first = 1; lists_first >= 0; lists_first--)
        for (char *const *variable = environment; *variable; variable++) {
            const char *name = after_prefix(*variable, "HAKMEM_");
            if (!name)
                continue;
            struct piece key = piece_until(name, '=');
            const char *value = key.start + key.length + (key.start[key.length] == '=');
            bool is_list = piece_is(key, "conf");
            if (is_list && lists_first)
                read_list(value);
            else if (!is_list && !lists_first)
                set_option(key, piece_until(value, 0));
        }
    choose_check_mode();
}
