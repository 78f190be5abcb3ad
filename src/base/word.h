/* word.h - how far apart two words are, for saying which one was probably meant. */
#ifndef HAK_WORD_H
#define HAK_WORD_H

#include <stdbool.h>
#include <stddef.h>

static inline char word_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

/* How many letters must be exchanged, added, left out, or swapped with their neighbour until `given`, in letters of
 * either case, is a lower-case word; of both, the first 32 letters count. */
static inline unsigned word_distance(const char *given, size_t length, const char *word)
{
    enum { LONGEST = 32 };
    unsigned rows[3][LONGEST + 1], columns = 0; /* of the letters given so far, of one fewer, and of two */
    unsigned *row = rows[0], *above = rows[1], *top = rows[2];
    for (; word[columns] && columns < LONGEST; columns++)
        row[columns] = columns;
    row[columns] = columns;
    for (unsigned i = 0; i < length && i < LONGEST; i++) {
        unsigned *last = top;
        top = above;
        above = row;
        row = last;
        row[0] = i + 1;
        for (unsigned j = 0; j < columns; j++) {
            char letter = word_lower(given[i]);
            unsigned exchanged = above[j] + (letter != word[j]);
            unsigned lengthened = (row[j] < above[j + 1] ? row[j] : above[j + 1]) + 1;
            row[j + 1] = exchanged < lengthened ? exchanged : lengthened;
            bool is_swap = i > 0 && j > 0 && letter == word[j - 1] && word_lower(given[i - 1]) == word[j];
            if (is_swap && top[j - 1] + 1 < row[j + 1])
                row[j + 1] = top[j - 1] + 1;
        }
    }
    return row[columns];
}

/* The word that `given` was probably meant to be: what differs is a letter, or two of a word of eight or more. NULL:
 * none is so near. */
static inline const char *word_meant(const char *given, size_t length, const char *const *words, size_t count)
{
    enum { MOST = 2, LETTERS_EACH = 4 };
    unsigned least = MOST + 1;
    const char *meant = NULL;
    for (size_t i = 0; i < count; i++) {
        unsigned letters = 0, differ = word_distance(given, length, words[i]);
        while (words[i][letters])
            letters++;
        if (differ < least && differ * LETTERS_EACH <= letters) {
            least = differ;
            meant = words[i];
        }
    }
    return meant;
}

#endif
