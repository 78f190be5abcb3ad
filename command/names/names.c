/* names.c - see names.h. C++'s demangler is the one of its runtime, if that is installed: then there are names of C++.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "names/names.h"

#include <ctype.h>
#include <dlfcn.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "names/rust.h"

/* ---- Demangling -------------------------------------------------------------------------------------------------- */

typedef char *demangler(const char *name, char *buffer, size_t *length, int *status);

static demangler *demangler_find(void)
{
    static demangler *found;
    static bool has_looked;
    if (!has_looked) {
        void *library = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
        if (!library)
            library = dlopen("libc++abi.so.1", RTLD_NOW | RTLD_LOCAL);
        if (library)
            *(void **)&found = dlsym(library, "__cxa_demangle");
        has_looked = true;
    }
    return found;
}

/* NULL where it is no name of C++'s, or nobody can read it. */
static char *demangle(const char *linkage)
{
    int status;
    demangler *read = strncmp(linkage, "_Z", 2) == 0 ? demangler_find() : NULL;
    return read ? read(linkage, NULL, NULL, &status) : NULL;
}

bool name_is_opaque(const char *name) { return strncmp(name, "_R", 2) == 0; }

/* ---- Rust -------------------------------------------------------------------------------------------------------- */

/* Rust's names were mangled like C++'s up to 2025, with a hash at the end, and with these in place of what C++
 * lacks. */
static const struct escape {
    const char *code, *text;
} escapes[] = {{"$LT$", "<"}, {"$GT$", ">"}, {"$RF$", "&"}, {"$BP$", "*"}, {"$C$", ","},
               {"$LP$", "("}, {"$RP$", ")"}, {"$SP$", "@"}, {"..", "::"}};
enum { ESCAPES = sizeof escapes / sizeof escapes[0] };

/* Cuts "::h0123456789abcdef" off; false when that is not there. */
static bool hash_cut(char *name)
{
    enum { HASH_LENGTH = 19 };
    size_t length = strlen(name);
    char *hash = name + length - HASH_LENGTH;
    if (length <= HASH_LENGTH || strncmp(hash, "::h", 3) != 0 || strspn(hash + 3, "0123456789abcdef") != 16)
        return false;
    *hash = '\0';
    return true;
}

/* The length of "$u20$" and the like at `from`, whose character goes to *character; 0 when it is none. */
static size_t unicode_escape(const char *from, char *character)
{
    char *end;
    unsigned long code = strncmp(from, "$u", 2) == 0 ? strtoul(from + 2, &end, 16) : 0;
    if (code < ' ' || code > '~' || *end != '$')
        return 0;
    *character = (char)code;
    return (size_t)(end + 1 - from);
}

/* The length of what stands at `from` for one thing, whose text is put at *to, which it moves on. */
static size_t escape_decode(const char *from, char **to)
{
    for (size_t i = 0; i < ESCAPES; i++) {
        size_t length = strlen(escapes[i].code);
        if (strncmp(from, escapes[i].code, length) != 0)
            continue;
        *to = stpcpy(*to, escapes[i].text);
        return length;
    }
    size_t length = unicode_escape(from, *to);
    if (length == 0)
        **to = *from;
    ++*to;
    return length > 0 ? length : 1;
}

/* In place: nothing gets longer. A part that begins with an escape has an underscore in front of it. */
static void escapes_decode(char *name)
{
    char *to = name;
    for (const char *from = name; *from;) {
        bool is_start = from == name || from[-1] == ':';
        from += is_start && strncmp(from, "_$", 2) == 0;
        from += escape_decode(from, &to);
    }
    *to = '\0';
}

/* ---- Without parameters ------------------------------------------------------------------------------------------ */

/* Behind the bracket that closes the one at `text`, or the end. */
static const char *brackets_skip(const char *text)
{
    unsigned depth = 0;
    do {
        depth += *text == '(' || *text == '<' || *text == '{';
        depth -= *text == ')' || *text == '}' || (*text == '>' && text[-1] != '-');
    } while (*text++ && depth > 0 && *text);
    return text;
}

/* Behind "operator" and its sign, which may be made of brackets; NULL when there is none at `text`. */
static const char *operator_skip(const char *name, const char *text)
{
    static const char word[] = "operator";
    if (strncmp(text, word, strlen(word)) != 0 ||
        (text > name && (isalnum((unsigned char)text[-1]) || text[-1] == '_')))
        return NULL;
    text += strlen(word);
    if (strncmp(text, "()", 2) == 0 || strncmp(text, "[]", 2) == 0)
        return text + 2;
    if (isalnum((unsigned char)*text) || *text == '_')
        return NULL;
    return text + (*text == ' ' ? strcspn(text, "(") : strspn(text, "<>=!+-*/%^&|~,")); /* a blank: of a type, or new */
}

/* Whether the brackets that end before `text` are part of the name: "f(int)::g", "f(int) const::g". */
static bool is_inner(const char *text)
{
    if (strncmp(text, " const", 6) == 0)
        text += 6;
    return strncmp(text, "::", 2) == 0;
}

/* Where the function's own name begins and ends in a demangled one: behind what it returns, before its parameters. */
static const char *name_bounds(const char *name, const char **end)
{
    const char *begin = name, *text = name;
    while (*text) {
        const char *next = operator_skip(name, text);
        if (next) {
            text = next;
        } else if (*text == '(' || *text == '<' || *text == '{') {
            next = brackets_skip(text);
            if (*text == '(' && !is_inner(next))
                break;
            text = next;
        } else {
            begin = *text == ' ' && text[1] != '<' ? text + 1 : begin;
            text++;
        }
    }
    *end = text;
    return begin < text ? begin : name;
}

char *name_readable(const char *linkage)
{
    char *name = rust_demangle(linkage);
    if (name)
        return name;
    name = demangle(linkage);
    if (!name)
        return strdup(linkage);
    if (hash_cut(name)) {
        escapes_decode(name);
        return name;
    }
    const char *end, *begin = name_bounds(name, &end);
    char *readable = strndup(begin, (size_t)(end - begin));
    free(name);
    return readable;
}

/* ---- In little room ---------------------------------------------------------------------------------------------- */

/* The name with every outermost list of template arguments left empty. Its capacity is that of the name. */
static void arguments_drop(char *text, const char *name)
{
    const char *from = name;
    while (*from) {
        const char *next = operator_skip(name, from);
        if (!next && *from == '<' && from > name) {
            text = stpcpy(text, "<>");
            from = brackets_skip(from);
            continue;
        }
        for (next = next ? next : from + 1; from < next;)
            *text++ = *from++;
    }
    *text = '\0';
}

/* What is left behind the outermost namespace; NULL when there is none, or it says what the function is of (Rust). */
static const char *namespace_drop(const char *name)
{
    const char *text = name;
    if (*name == '<')
        return NULL;
    while (*text && strncmp(text, "::", 2) != 0)
        text = *text == '<' || *text == '(' || *text == '{' ? brackets_skip(text) : text + 1;
    return *text ? text + 2 : NULL;
}

void name_condense(char *text, size_t width, const char *name)
{
    char *brief = strlen(name) > width ? malloc(strlen(name) + 3) : NULL;
    const char *rest = name;
    if (brief) {
        arguments_drop(brief, name);
        rest = brief;
    }
    for (const char *next; strlen(rest) > width && (next = namespace_drop(rest));)
        rest = next;
    size_t length = strlen(rest) < width ? strlen(rest) : width;
    memcpy(text, rest, length);
    text[length] = '\0';
    for (char *place = text; *place; place++)
        if ((unsigned char)*place < ' ' || *place == 0x7f) /* which a terminal might obey */
            *place = '?';
    if (length < strlen(rest) && width >= 3)
        memcpy(text + width - 2, "..", 2);
    free(brief);
}

/* ---- Wrappers ---------------------------------------------------------------------------------------------------- */

static bool name_is_among(const char *name, const char *const patterns[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fnmatch(patterns[i], name, 0) == 0)
            return true;
    return false;
}

bool name_is_wrapper(const char *name)
{
    static const char *const patterns[] = {
#define X(pattern) pattern,
#include "names/wrappers.def"
#undef X
    };
    return name_is_among(name, patterns, sizeof patterns / sizeof patterns[0]);
}

bool name_is_bridge(const char *name)
{
    static const char *const patterns[] = {
#define B(pattern) pattern,
#include "names/wrappers.def"
#undef B
    };
    return name_is_among(name, patterns, sizeof patterns / sizeof patterns[0]);
}
