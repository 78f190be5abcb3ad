#include "system/options.h"

#include "system/conf.h"
#include "system/error.h"
#include "system/os_executable.h"
#include "system/os_file.h"
#include "system/os_map.h"
#include "system/os_process.h"
#include "system/text.h"
#include "base/word.h"

#include <errno.h>

uint64_t option_values[OPTION_COUNT] = {
#define X(id, name, kind, value, min, max, doc) value,
#include "system/options.def"
#undef X
};

enum option_kind { FLAG, COUNT, SHARE, SIZE, PATH, LIST, DETAIL, LEARN, REPORT, HUGE };

static const char *const option_names[OPTION_COUNT] = {
#define X(id, name, kind, value, min, max, doc) name,
#include "system/options.def"
#undef X
};

static const struct option_info {
    enum option_kind kind;
    uint64_t min, max;
} option_info[OPTION_COUNT] = {
#define X(id, name, kind, value, min, max, doc) {kind, min, max},
#include "system/options.def"
#undef X
};

SPARSE struct option_source option_sources[OPTION_COUNT];

#define VARIABLE_PREFIX "HAKMEM_"
static const char list_variable[] = VARIABLE_PREFIX "CONF";

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

static const struct option_word {
    const char *word;
    enum option_kind kind; /* FLAG: a word for all */
    unsigned value;
} option_words[] = {
#define X(id, name, kind, value, min, max, doc)
#define W(word, kind, value) {word, kind, value},
#include "system/options.def"
#undef X
#undef W
};
enum { OPTION_WORDS = sizeof option_words / sizeof option_words[0] };

static bool word_is_for(const struct option_word *word, enum option_kind kind)
{
    return word->kind == FLAG || word->kind == kind;
}

static bool parse_word(struct piece piece, enum option_kind kind, uint64_t *out)
{
    for (unsigned i = 0; i < OPTION_WORDS; i++)
        if (piece_is(piece, option_words[i].word) && word_is_for(&option_words[i], kind)) {
            *out = option_words[i].value;
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
    return true;
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

/* Where the text of a PATH is kept. */
static char *path_room(const struct option_info *info)
{
    enum { PATHS = 3 };
    static char paths[PATHS][OPTION_PATH_MAX + 1];
    unsigned before = 0;
    while (info-- != option_info)
        before += info->kind == PATH;
    HAK_ASSERT(before < PATHS);
    return paths[before];
}

const char *option_path(enum option_id id) { return path_room(&option_info[id]); }

static bool parse_path(struct piece piece, const struct option_info *info, uint64_t *out)
{
    char *room = path_room(info);
    if (piece.length > OPTION_PATH_MAX)
        return false;
    for (size_t i = 0; i < piece.length; i++)
        room[i] = piece.start[i];
    room[piece.length] = 0;
    *out = piece.length;
    return true;
}

/* "all", or "all@4711": of the process of that number; 0: it is not said. */
static bool parse_detail(struct piece piece, uint64_t *out, uint64_t *process)
{
    struct piece word = {piece.start, 0};
    while (word.length < piece.length && word.start[word.length] != '@')
        word.length++;
    struct piece number = {word.start + word.length + 1, piece.length - word.length - 1};
    *process = 0;
    return parse_word(word, DETAIL, out) && (word.length == piece.length || parse_count(number, process));
}

static bool parse_value(struct piece piece, const struct option_info *info, uint64_t *out)
{
    uint64_t process;
    switch (info->kind) {
    case COUNT: return parse_count(piece, out) && *out >= info->min && *out <= info->max;
    case SHARE: return parse_share(piece, out) && *out >= info->min && *out <= info->max;
    case SIZE: return parse_size(piece, out) && (*out == 0 || (*out >= info->min && *out <= info->max));
    case LIST: return parse_list(piece, info->max, out);
    case PATH: return parse_path(piece, info, out);
    case DETAIL: return parse_detail(piece, out, &process);
    default: return parse_word(piece, info->kind, out);
    }
}

/* Where the value of `stats` stands in the environment, if it does. */
static struct {
    char **variable;  /* NULL: nowhere */
    const char *end;  /* of the value */
    uint64_t process; /* whose it is; 0: nobody's yet */
} stats_said;

static COLD void stats_note(char **variable, struct piece value)
{
    uint64_t parsed;
    stats_said.variable = variable;
    stats_said.end = value.start + value.length;
    parse_detail(value, &parsed, &stats_said.process);
}

const char *options_file(void) { return option(OPTION_CONF_FILE) > 0 ? option_path(OPTION_CONF_FILE) : CONF_FILE; }

/* ---- Values for people ------------------------------------------------------------------------------------------- */

static COLD void size_write(struct text *text, uint64_t size)
{
    static const char units[] = " KMGT";
    bool is_percent = (size & OPTION_PERCENT) != 0;
    unsigned unit = 0;
    for (; !is_percent && unit < 4 && size > 0 && size % 1024 == 0; unit++)
        size /= 1024;
    text_decimal(text, size & ~OPTION_PERCENT);
    text_span(text, is_percent ? "%" : &units[unit], is_percent || unit > 0);
}

static COLD void share_write(struct text *text, uint64_t hundredths)
{
    text_decimal(text, hundredths / 100);
    text_string(text, hundredths % 100 < 10 ? ".0" : ".");
    text_decimal(text, hundredths % 100);
}

static COLD void word_write(struct text *text, uint64_t value, enum option_kind kind)
{
    for (unsigned i = OPTION_WORDS; i-- > 0;)
        if (option_words[i].value == value && word_is_for(&option_words[i], kind)) {
            text_string(text, option_words[i].word);
            return;
        }
}

COLD void option_write(struct text *text, enum option_id id)
{
    uint64_t value = option(id);
    switch (option_info[id].kind) {
    case COUNT: text_decimal(text, value); break;
    case SHARE: share_write(text, value); break;
    case SIZE: size_write(text, value); break;
    case PATH: text_string(text, option_path(id)); break;
    case LIST:
        for (unsigned i = 0; i < 5; i++) {
            text_string(text, i > 0 ? "/" : "");
            text_decimal(text, option_item(id, i));
        }
        break;
    default: word_write(text, value, option_info[id].kind);
    }
}

const char *option_name(enum option_id id) { return option_names[id]; }

/* ---- What is wrong with them ------------------------------------------------------------------------------------- */

/* An option's name as it is written where the source is. */
static COLD void name_write(struct text *text, const char *name, const struct option_source *source)
{
    bool is_variable = source->origin != OPTION_BY_FILE && !source->is_listed;
    text_string(text, is_variable ? VARIABLE_PREFIX : "");
    for (; *name; name++) {
        char upper = *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
        text_span(text, is_variable ? &upper : name, 1);
    }
}

/* False: nothing is to be said, as in a program with other rights than its caller's, who may not be meant to read the
 * file. */
static COLD bool warning_start(struct text *text, const struct option_source *source)
{
    bool is_of_file = source->origin == OPTION_BY_FILE;
    if (os_is_privileged())
        return false;
    error_warning_begin(text, is_of_file ? options_file() : source->is_listed ? list_variable : NULL, source->line);
    return true;
}

static COLD void option_warn(enum warning_id id, struct piece subject, const char *rest,
                             const struct option_source *source)
{
    struct text text;
    if (!warning_start(&text, source))
        return;
    error_warning_tell(&text, id, subject.start, subject.length);
    text_string(&text, rest);
    error_warning_end(&text);
}

COLD void option_warn_set(enum warning_id warning, enum option_id id, const char *rest)
{
    struct text name;
    text_begin(&name, -1);
    name_write(&name, option_names[id], &option_sources[id]);
    option_warn(warning, (struct piece){name.buffer, name.length}, rest, &option_sources[id]);
}

static COLD void unknown_warn(struct piece written, struct piece name, const struct option_source *source)
{
    const char *meant = word_meant(name.start, name.length, option_names, OPTION_COUNT);
    struct text text;
    if (!warning_start(&text, source))
        return;
    error_warning_tell(&text, WARNING_OPTION_UNKNOWN, written.start, written.length);
    if (meant) {
        text_string(&text, "; did you mean ");
        name_write(&text, meant, source);
        text_string(&text, "?");
    }
    error_warning_end(&text);
}

static COLD void words_write(struct text *text, enum option_kind kind)
{
    const char *before = "one of ";
    for (unsigned i = 0; i < OPTION_WORDS; i++)
        if (word_is_for(&option_words[i], kind)) {
            text_string(text, before);
            text_string(text, option_words[i].word);
            before = ", ";
        }
}

static COLD void bounds_write(struct text *text, const struct option_info *info,
                              void (*write)(struct text *text, uint64_t value))
{
    text_string(text, " from ");
    write(text, info->min);
    if (info->max == UINT64_MAX)
        return;
    text_string(text, " to ");
    write(text, info->max);
}

/* What an option takes. */
static COLD void range_write(struct text *text, const struct option_info *info)
{
    switch (info->kind) {
    case COUNT:
        text_string(text, "a whole number");
        bounds_write(text, info, text_decimal);
        break;
    case SHARE:
        text_string(text, "a number");
        bounds_write(text, info, share_write);
        text_string(text, ", with up to two decimals");
        break;
    case LIST:
        text_string(text, "one to five whole numbers");
        bounds_write(text, info, text_decimal);
        text_string(text, ", such as 8/16/0/4");
        break;
    case SIZE:
        text_string(text, "0 or a size");
        bounds_write(text, info, size_write);
        text_string(text, info->max & OPTION_PERCENT ? ", such as 2G, or 1% to 100%" : ", such as 64K");
        break;
    case PATH: text_string(text, "a name of 255 letters at most"); break;
    default: words_write(text, info->kind);
    }
}

static COLD void value_warn(struct piece written, const struct option_info *info, const struct option_source *source)
{
    struct text text;
    if (!warning_start(&text, source))
        return;
    error_warning_tell(&text, WARNING_OPTION_VALUE, written.start, written.length);
    range_write(&text, info);
    error_warning_end(&text);
}

/* ---- Setting them ------------------------------------------------------------------------------------------------ */

/* An option as somebody has given it. */
struct given {
    struct piece name, value;
    const char *written; /* where its text begins: of a variable, before the prefix; it ends with the value */
    struct option_source source;
};

static struct piece written_until(const struct given *given, struct piece last)
{
    return (struct piece){given->written, (size_t)(last.start + last.length - given->written)};
}

static COLD bool set_value(unsigned id, const struct given *given)
{
    uint64_t parsed;
    if (!parse_value(given->value, &option_info[id], &parsed)) {
        value_warn(written_until(given, given->value), &option_info[id], &given->source);
        return false;
    }
    option_values[id] = parsed;
    option_sources[id] = given->source;
    return true;
}

/* OPTION_COUNT when there is none of that name, which is said. */
static COLD unsigned option_find(const struct given *given)
{
    unsigned id = 0;
    while (id < OPTION_COUNT && !piece_is(given->name, option_names[id]))
        id++;
    if (id == OPTION_COUNT)
        unknown_warn(written_until(given, given->name), given->name, &given->source);
    return id;
}

/* ---- The environment --------------------------------------------------------------------------------------------- */

/* As `variable` says. */
static COLD void set_option(char **variable, const struct given *given)
{
    unsigned id = option_find(given);
    if (id < OPTION_COUNT && set_value(id, given) && id == OPTION_STATS)
        stats_note(variable, given->value);
}

static void read_item(char **variable, struct piece item)
{
    static const struct option_source source = {.origin = OPTION_BY_ENVIRONMENT, .is_listed = true};
    struct piece name = piece_until(item.start, ':');
    if (name.length >= item.length) {
        option_warn(WARNING_OPTION_SYNTAX, item, "stats:1,check:0", &source);
        return;
    }
    struct piece value = {name.start + name.length + 1, item.length - name.length - 1};
    set_option(variable, &(struct given){.name = name, .value = value, .written = item.start, .source = source});
}

static void read_list(char **variable, const char *list)
{
    while (*list) {
        struct piece item = piece_until(list, ',');
        list = item.start + item.length + (item.start[item.length] == ',');
        if (item.length > 0)
            read_item(variable, item);
    }
}

/* The list first, so that a variable of its own overrides it. */
static COLD void environment_read(char **environment)
{
    static const struct option_source source = {.origin = OPTION_BY_ENVIRONMENT};
    for (int lists_first = 1; lists_first >= 0; lists_first--)
        for (char **variable = environment; *variable; variable++) {
            const char *name = after_prefix(*variable, VARIABLE_PREFIX);
            if (!name)
                continue;
            struct piece key = piece_until(name, '=');
            const char *value = key.start + key.length + (key.start[key.length] == '=');
            bool is_list = piece_is(key, "conf");
            if (is_list && lists_first)
                read_list(variable, value);
            else if (!is_list && !lists_first)
                set_option(variable, &(struct given){key, piece_of(value), *variable, source});
        }
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

/* A program that no loader has started may be under a filter that forbids to open files: only what was asked for. */
static bool conf_is_wanted(void)
{
    if (option(OPTION_CONF_FILE) == 0)
        return os_has_loader();
    struct piece path = piece_of(options_file());
    return !piece_is(path, "none") && !piece_is(path, "/dev/null");
}

/* A line counts where the environment says nothing. In a program with other rights than its caller's, hakmem reads and
 * writes no other files. */
static COLD void conf_apply(const struct conf_entry *entry)
{
    struct option_source source = {.origin = OPTION_BY_FILE, .line = (uint16_t)entry->line, .section = entry->section};
    if (entry->kind == CONF_NO_SECTION)
        option_warn(WARNING_CONF_SECTION, entry->name, "[mariadbd]", &source);
    else if (entry->kind == CONF_NO_OPTION)
        option_warn(WARNING_CONF_LINE, entry->name, "limit = 80%", &source);
    if (entry->kind != CONF_OPTION)
        return;
    const struct given given = {entry->name, entry->value, entry->name.start, source};
    unsigned id = option_find(&given);
    if (id == OPTION_CONF_FILE)
        option_warn(WARNING_CONF_PLACE, entry->name, "HAKMEM_CONF_FILE", &source);
    else if (id < OPTION_COUNT && option_sources[id].origin != OPTION_BY_ENVIRONMENT &&
             !(option_info[id].kind == PATH && os_is_privileged()))
        set_value(id, &given);
}

/* By what name a program is started with other rights is its caller's choice: no section is such a program's. */
COLD void options_read_text(const char *text, size_t length, const char *program)
{
    struct conf conf;
    struct conf_entry entry;
    for (int for_all = 1; for_all >= os_is_privileged(); for_all--) {
        conf_begin(&conf, (struct piece){text, length}, program, for_all);
        while (conf_next(&conf, &entry))
            conf_apply(&entry);
    }
}

/* Why there is nothing to read; NULL where nobody has asked for a file. */
static const char *conf_fault(int error)
{
    switch (error) {
    case EFBIG: return "it has 16 KiB or more";
    case ENODEV: return "not a regular file";
    case EPERM: return "everybody may write to it";
    default: return option(OPTION_CONF_FILE) > 0 ? "it cannot be opened" : NULL;
    }
}

static COLD void conf_read(void)
{
    enum { CAPACITY = 16 << 10 };
    static SPARSE char text[CAPACITY]; /* sections' names are pieces of it */
    size_t length = 0;
    int error = conf_is_wanted() ? os_file_read_placed(options_file(), os_is_privileged(), text, CAPACITY, &length) : 0;
    const char *fault = error ? conf_fault(error) : NULL;
    if (!error)
        options_read_text(text, length, os_program());
    else if (fault && !os_is_privileged())
        error_warn(WARNING_CONF, options_file(), text_length(options_file()), fault);
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

uint8_t check_mode;

static void choose_check_mode(void)
{
    if (option(OPTION_CHECK))
        check_mode = CHECK_EXACT;
    else if (option(OPTION_HARDEN))
        check_mode = option(OPTION_STATS) == STATS_ALL || option(OPTION_SITES) ? CHECK_WATCHED : CHECK_HARDENED;
}

/* Another text stands in the place of the variable, with "@4711" behind the value; or the same, when memory is out. */
static COLD void stats_mark(uint32_t process)
{
    enum { DIGITS = 10 };
    const char *from = *stats_said.variable;
    size_t head = (size_t)(stats_said.end - from), tail = 0;
    while (stats_said.end[tail++])
        continue;
    char digits[DIGITS], *digit = digits + DIGITS;
    for (uint32_t rest = process; rest > 0; rest /= 10)
        *--digit = (char)('0' + rest % 10);
    size_t length = (size_t)(digits + DIGITS - digit);
    void *room;
    if (os_map(align_up(head + 1 + length + tail, os_page_size()), 1, NULL, &room) != 0)
        return;
    char *to = room;
    __builtin_memcpy(to, from, head);
    to[head] = '@';
    __builtin_memcpy(to + head + 1, digit, length);
    __builtin_memcpy(to + head + 1 + length, stats_said.end, tail);
    *stats_said.variable = to;
}

/* Of what a file says, each program that it is said for is meant. */
static COLD void stats_claim(void)
{
    uint32_t own = os_process_id();
    if (stats_said.variable && stats_said.process == 0)
        stats_mark(own);
    else if (stats_said.variable && stats_said.process != own)
        option_values[OPTION_STATS] = STATS_OFF;
    stats_said.process = own;
}

COLD bool options_want_stats(void)
{
    return option(OPTION_STATS) != STATS_OFF &&
           (option(OPTION_STATS_CHILDREN) || stats_said.process == os_process_id());
}

COLD void options_read(char **environment)
{
    if (!environment)
        return;
    if (!os_is_privileged())
        environment_read(environment);
    conf_read();
    if (option(OPTION_STATS) != STATS_OFF && !option(OPTION_STATS_CHILDREN))
        stats_claim();
    choose_check_mode();
}
