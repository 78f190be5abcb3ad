/* word.h - how far apart two words are, for saying which one was probably meant. */
#ifndef HAK_WORD_H
#define HAK_WORD_H

#include <stddef.h>

static inline char word_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

/* Levenshtein's distance between `given`, in letters of either case, and a lower-case word; of both, the first 32
 * letters count. */
static inline unsigned word_distance(const char *given, size_t length, const char *word)
{
    enum { LONGEST = 32 };
    unsigned row[LONGEST + 1], columns = 0;
    for (; word[columns] && columns < LONGEST; columns++)
        row[columns] = columns;
    row[columns] = columns;
    for (size_t i = 0; i < length && i < LONGEST; i++) {
        unsigned diagonal = row[0]++;
        for (unsigned j = 1; j <= columns; j++) {
            unsigned substituted = diagonal + (word_lower(given[i]) != word[j - 1]);
            unsigned lengthened = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = substituted < lengthened ? substituted : lengthened;
        }
    }
    return row[columns];
}

#endif
