#include "system/conf.h"

#include "base/word.h"

/* ---- Pieces ------------------------------------------------------------------------------------------------------ */

bool piece_is(struct piece piece, const char *word)
{
    size_t i = 0;
    while (i < piece.length && word[i] && word_lower(piece.start[i]) == word[i])
        i++;
    return i == piece.length && !word[i];
}

struct piece piece_of(const char *string)
{
    struct piece piece = {string, 0};
    while (string[piece.length])
        piece.length++;
    return piece;
}

bool piece_begins(struct piece piece, const char *word)
{
    struct piece start = piece_of(word);
    return piece.length >= start.length && __builtin_memcmp(piece.start, word, start.length) == 0;
}

static struct piece piece_from(struct piece piece, size_t begin)
{
    return (struct piece){piece.start + begin, piece.length - begin};
}

struct piece piece_base(struct piece path)
{
    size_t base = 0;
    for (size_t i = 1; i < path.length; i++)
        if (path.start[i - 1] == '/' && path.start[i] != '/')
            base = i;
    return piece_from(path, base);
}

/* Where a letter comes first; the piece's length if it does not. */
static size_t piece_find(struct piece piece, char letter)
{
    size_t at = 0;
    while (at < piece.length && piece.start[at] != letter)
        at++;
    return at;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static struct piece piece_trim(struct piece piece)
{
    while (piece.length > 0 && is_blank(piece.start[0]))
        piece = piece_from(piece, 1);
    while (piece.length > 0 && is_blank(piece.start[piece.length - 1]))
        piece.length--;
    return piece;
}

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

/* Without blanks around it and without its comment, which begins the line, or follows a blank. */
static struct piece line_content(struct piece line)
{
    for (size_t i = 0; i < line.length; i++) {
        bool may_begin = i == 0 || is_blank(line.start[i - 1]);
        if (may_begin && line.start[i] == '#')
            line.length = i;
    }
    line = piece_trim(line);
    return line.length > 0 && line.start[0] == ';' ? (struct piece){line.start, 0} : line;
}

static struct piece line_take(struct conf *conf)
{
    size_t length = piece_find(conf->rest, '\n');
    struct piece line = {conf->rest.start, length};
    conf->rest = piece_from(conf->rest, min_size(length + 1, conf->rest.length));
    conf->line++;
    return line_content(line);
}

/* ---- Sections ---------------------------------------------------------------------------------------------------- */

/* Whether a section's name is the program's; a '*' at its end stands for any letters. */
static bool name_fits(struct piece pattern, struct piece program)
{
    bool is_open = pattern.start[pattern.length - 1] == '*';
    size_t length = pattern.length - is_open;
    return (is_open ? program.length >= length : program.length == length) &&
           __builtin_memcmp(pattern.start, program.start, length) == 0;
}

static bool section_is_wanted(const struct conf *conf, struct piece name)
{
    bool is_for_all = name.length == 1 && name.start[0] == '*';
    if (is_for_all || conf->for_all)
        return is_for_all && conf->for_all;
    return conf->program.length > 0 && name_fits(name, conf->program);
}

/* "[name]"; false if it is not. */
static bool section_enter(struct conf *conf, struct piece line)
{
    struct piece name = {line.start, 0};
    if (line.length >= 2 && line.start[line.length - 1] == ']')
        name = piece_trim((struct piece){line.start + 1, line.length - 2});
    bool is_one = name.length > 0 && piece_find(name, '[') == name.length && piece_find(name, ']') == name.length &&
                  piece_find(name, '/') == name.length;
    conf->section = name;
    conf->is_wanted = is_one && section_is_wanted(conf, name);
    return is_one;
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

COLD void conf_begin(struct conf *conf, struct piece text, const char *program, bool for_all)
{
    *conf =
        (struct conf){.rest = text, .program = piece_base(piece_of(program)), .for_all = for_all, .is_wanted = for_all};
}

static struct conf_entry conf_entry_of(const struct conf *conf, struct piece line)
{
    struct conf_entry entry = {.kind = CONF_NO_OPTION, .name = line, .section = conf->section, .line = conf->line};
    size_t equals = piece_find(line, '=');
    struct piece name = piece_trim((struct piece){line.start, equals});
    if (equals == line.length || name.length == 0)
        return entry;
    entry.kind = CONF_OPTION;
    entry.name = name;
    entry.value = piece_trim(piece_from(line, equals + 1));
    return entry;
}

COLD bool conf_next(struct conf *conf, struct conf_entry *out)
{
    while (conf->rest.length > 0) {
        struct piece line = line_take(conf);
        if (line.length == 0)
            continue;
        if (line.start[0] == '[') {
            *out = (struct conf_entry){.kind = CONF_NO_SECTION, .name = line, .line = conf->line};
            if (!section_enter(conf, line) && conf->for_all)
                return true;
        } else if (conf->is_wanted) {
            *out = conf_entry_of(conf, line);
            return true;
        }
    }
    return false;
}
