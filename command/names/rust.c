/* rust.c - see rust.h. A reader of the grammar by descent. A name comes from somebody's file, and may refer to its own
 * beginning: depth, steps and what is written are bounded.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "names/rust.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MOST = 100, STEPS_MOST = 10000, TEXT_MOST = 8000 };

struct reader {
    const char *name; /* behind "_R" */
    size_t at;
    unsigned depth, steps;
    bool has_failed;
    size_t length;
    char text[TEXT_MOST + 1];
};

/* An identifier lies in the name. */
struct identifier {
    const char *text;
    size_t length;
    uint64_t number; /* tells ones of the same text apart */
};

static void path_read(struct reader *r);
static void type_read(struct reader *r);

/* ---- Letters ----------------------------------------------------------------------------------------------------- */

static void put_bytes(struct reader *r, const char *text, size_t length)
{
    if (r->has_failed || length > TEXT_MOST - r->length) {
        r->has_failed = true;
        return;
    }
    memcpy(r->text + r->length, text, length);
    r->length += length;
}

static void put(struct reader *r, const char *text) { put_bytes(r, text, strlen(text)); }

static char peek(const struct reader *r) { return r->has_failed ? '\0' : r->name[r->at]; }

static char next(struct reader *r)
{
    char letter = peek(r);
    if (letter != '\0')
        r->at++;
    else
        r->has_failed = true;
    return letter;
}

static bool take(struct reader *r, char letter)
{
    bool is_there = peek(r) == letter;
    r->at += is_there;
    return is_there;
}

/* Digits of base 62 up to '_': none is 0, "0" is 1. */
static uint64_t number62_read(struct reader *r)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    uint64_t number = 0;
    if (take(r, '_'))
        return 0;
    while (!r->has_failed && !take(r, '_')) {
        char letter = next(r);
        const char *digit = letter ? strchr(digits, letter) : NULL;
        if (!digit || number > (UINT64_MAX - 61) / 62)
            r->has_failed = true;
        else
            number = number * 62 + (uint64_t)(digit - digits);
    }
    return number + 1;
}

/* "s", which is followed by a number, says which one of several. */
static uint64_t disambiguator_read(struct reader *r) { return take(r, 's') ? number62_read(r) + 1 : 0; }

static struct identifier identifier_read(struct reader *r)
{
    struct identifier identifier = {.number = disambiguator_read(r)};
    take(r, 'u'); /* letters that are not ASCII, which stay as they were written */
    r->has_failed |= peek(r) < '0' || peek(r) > '9';
    if (!take(r, '0')) /* which no length begins with that is more */
        while (peek(r) >= '0' && peek(r) <= '9' && identifier.length < TEXT_MOST)
            identifier.length = identifier.length * 10 + (size_t)(next(r) - '0');
    take(r, '_');
    if (r->has_failed || strnlen(r->name + r->at, identifier.length) < identifier.length)
        r->has_failed = true;
    else
        identifier.text = r->name + r->at;
    r->at += r->has_failed ? 0 : identifier.length;
    return identifier;
}

/* ---- What may lie in each other ---------------------------------------------------------------------------------- */

static bool enter(struct reader *r)
{
    r->has_failed |= ++r->depth > DEPTH_MOST || ++r->steps > STEPS_MOST;
    return !r->has_failed;
}

/* Reads with `read` what stands earlier in the name. */
static void reference_read(struct reader *r, void (*read)(struct reader *))
{
    size_t from = r->at - 1;
    uint64_t place = number62_read(r);
    size_t after = r->at;
    r->has_failed |= place >= from;
    if (r->has_failed || !enter(r))
        return;
    r->at = (size_t)place;
    read(r);
    r->at = after;
    r->depth--;
}

static void lifetimes_skip(struct reader *r)
{
    if (take(r, 'G'))
        number62_read(r);
}

static void lifetime_skip(struct reader *r)
{
    if (take(r, 'L'))
        number62_read(r);
}

/* ---- Types ------------------------------------------------------------------------------------------------------- */

/* NULL where the letter is none of a type that has a name of its own. */
static const char *basic_type(char letter)
{
    static const char *const names[26] = {
        ['a' - 'a'] = "i8",  ['b' - 'a'] = "bool", ['c' - 'a'] = "char",  ['d' - 'a'] = "f64",   ['e' - 'a'] = "str",
        ['f' - 'a'] = "f32", ['h' - 'a'] = "u8",   ['i' - 'a'] = "isize", ['j' - 'a'] = "usize", ['l' - 'a'] = "i32",
        ['m' - 'a'] = "u32", ['n' - 'a'] = "i128", ['o' - 'a'] = "u128",  ['p' - 'a'] = "_",     ['s' - 'a'] = "i16",
        ['t' - 'a'] = "u16", ['u' - 'a'] = "()",   ['v' - 'a'] = "...",   ['x' - 'a'] = "i64",   ['y' - 'a'] = "u64",
        ['z' - 'a'] = "!"};
    return letter >= 'a' && letter <= 'z' ? names[letter - 'a'] : NULL;
}

/* A number, mostly; strings and structures, which few have, are not read. */
static void constant_read(struct reader *r)
{
    char type = next(r), digits[20] = "";
    size_t count = 0;
    if (type == 'B')
        return reference_read(r, constant_read);
    if (type == 'p')
        return put(r, "_");
    r->has_failed |= !basic_type(type);
    put(r, take(r, 'n') ? "-" : "");
    while (!r->has_failed && !take(r, '_') && count < sizeof digits - 1)
        digits[count++] = next(r);
    char text[24];
    snprintf(text, sizeof text, "%llu", strtoull(digits, NULL, 16));
    put(r, text);
}

/* Types up to 'E', with commas. */
static size_t types_read(struct reader *r)
{
    size_t count = 0;
    for (; !r->has_failed && !take(r, 'E'); count++) {
        put(r, count > 0 ? ", " : "");
        type_read(r);
    }
    return count;
}

static void function_read(struct reader *r)
{
    lifetimes_skip(r);
    put(r, take(r, 'U') ? "unsafe " : "");
    if (take(r, 'K')) {
        put(r, "extern ");
        if (!take(r, 'C'))
            identifier_read(r);
    }
    put(r, "fn(");
    types_read(r);
    put(r, ")");
    if (take(r, 'u'))
        return;
    put(r, " -> ");
    type_read(r);
}

static void dynamic_read(struct reader *r)
{
    put(r, "dyn ");
    lifetimes_skip(r);
    for (size_t count = 0; !r->has_failed && !take(r, 'E'); count++) {
        put(r, count > 0 ? " + " : "");
        path_read(r);
        while (take(r, 'p')) { /* Item = u8 */
            struct identifier identifier = identifier_read(r);
            put(r, "<");
            if (identifier.text)
                put_bytes(r, identifier.text, identifier.length);
            put(r, " = ");
            type_read(r);
            put(r, ">");
        }
    }
    lifetime_skip(r);
}

static void array_read(struct reader *r, bool has_length)
{
    put(r, "[");
    type_read(r);
    if (has_length) {
        put(r, "; ");
        constant_read(r);
    }
    put(r, "]");
}

static void tuple_read(struct reader *r)
{
    put(r, "(");
    if (types_read(r) == 1)
        put(r, ",");
    put(r, ")");
}

static void pointer_read(struct reader *r, const char *text)
{
    lifetime_skip(r);
    put(r, text);
    type_read(r);
}

static void compound_read(struct reader *r, char letter)
{
    switch (letter) {
    case 'A':
    case 'S':
        return array_read(r, letter == 'A');
    case 'T':
        return tuple_read(r);
    case 'R':
        return pointer_read(r, "&");
    case 'Q':
        return pointer_read(r, "&mut ");
    case 'P':
        return pointer_read(r, "*const ");
    case 'O':
        return pointer_read(r, "*mut ");
    case 'F':
        return function_read(r);
    case 'D':
        return dynamic_read(r);
    case 'B':
        return reference_read(r, type_read);
    default:
        r->at--;
        path_read(r);
    }
}

static void type_read(struct reader *r)
{
    if (!enter(r))
        return;
    char letter = next(r);
    const char *basic = basic_type(letter);
    if (basic)
        put(r, basic);
    else
        compound_read(r, letter);
    r->depth--;
}

/* ---- Paths ------------------------------------------------------------------------------------------------------- */

/* Where an implementation stands is no part of its name: it is read, and what was written of it taken back. */
static void place_skip(struct reader *r)
{
    size_t length = r->length;
    disambiguator_read(r);
    path_read(r);
    r->length = length;
}

/* Types of the language itself are in brackets. */
static void inherent_read(struct reader *r)
{
    place_skip(r);
    bool is_path = strchr("BCIMNXY", peek(r)) != NULL;
    put(r, is_path ? "" : "<");
    type_read(r);
    put(r, is_path ? "" : ">");
}

static void trait_read(struct reader *r)
{
    put(r, "<");
    type_read(r);
    put(r, " as ");
    path_read(r);
    put(r, ">");
}

static void special_put(struct reader *r, char kind, const struct identifier *identifier)
{
    char number[32];
    put(r, kind == 'C' ? "{closure" : "{shim");
    put(r, identifier->length > 0 ? ":" : "");
    put_bytes(r, identifier->text, identifier->length);
    snprintf(number, sizeof number, "#%llu}", (unsigned long long)identifier->number);
    put(r, number);
}

static void nested_read(struct reader *r)
{
    char kind = next(r);
    path_read(r);
    struct identifier identifier = identifier_read(r);
    if (r->has_failed)
        return;
    bool is_special = kind >= 'A' && kind <= 'Z';
    put(r, is_special || identifier.length > 0 ? "::" : "");
    if (is_special)
        special_put(r, kind, &identifier);
    else
        put_bytes(r, identifier.text, identifier.length);
}

static void generic_read(struct reader *r)
{
    path_read(r);
    put(r, "<");
    for (size_t count = 0; !r->has_failed && !take(r, 'E');) {
        if (peek(r) == 'L') {
            lifetime_skip(r);
            continue;
        }
        put(r, count++ > 0 ? ", " : "");
        if (take(r, 'K'))
            constant_read(r);
        else
            type_read(r);
    }
    put(r, ">");
}

static void crate_read(struct reader *r)
{
    struct identifier identifier = identifier_read(r);
    if (!r->has_failed)
        put_bytes(r, identifier.text, identifier.length);
}

static void path_read(struct reader *r)
{
    if (!enter(r))
        return;
    char letter = next(r);
    if (letter == 'C') {
        crate_read(r);
    } else if (letter == 'M') {
        inherent_read(r);
    } else if (letter == 'X') {
        place_skip(r);
        trait_read(r);
    } else if (letter == 'Y') {
        trait_read(r);
    } else if (letter == 'N') {
        nested_read(r);
    } else if (letter == 'I') {
        generic_read(r);
    } else if (letter == 'B') {
        reference_read(r, path_read);
    } else {
        r->has_failed = true;
    }
    r->depth--;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

char *rust_demangle(const char *linkage)
{
    if (strncmp(linkage, "_R", 2) != 0)
        return NULL;
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->name = linkage + 2;
    path_read(r);
    char *text = r->has_failed ? NULL : strndup(r->text, r->length);
    free(r);
    return text;
}
