/* samples.c - durations, and what a part of them does not exceed. Exact, and without malloc: the one that stands at a
 * place is found by parting them around it, again and again.
 * SPDX-License-Identifier: MIT */
#include "scale.h"

#include <math.h>

struct samples samples_make(size_t room)
{
    return (struct samples){.ns = own_alloc(room * sizeof(uint64_t)), .room = room};
}

void samples_clear(struct samples *samples)
{
    samples->kept = samples->count = 0;
    samples->worst = 0;
}

/* One step: afterwards all up to *right are at most one of the values, all from *left on are at least that, and what
 * lies between equals it. Each side is shorter than the whole was. */
static void samples_partition(uint64_t *ns, ptrdiff_t *left, ptrdiff_t *right)
{
    uint64_t middle = ns[*left + (*right - *left) / 2];
    while (*left <= *right) {
        while (ns[*left] < middle)
            ++*left;
        while (ns[*right] > middle)
            --*right;
        if (*left > *right)
            break;
        uint64_t other = ns[*left];
        ns[(*left)++] = ns[*right];
        ns[(*right)--] = other;
    }
}

double samples_part(struct samples *samples, double part)
{
    if (samples->kept == 0)
        return NAN;
    ptrdiff_t place = (ptrdiff_t)((double)(samples->kept - 1) * part + 0.5);
    ptrdiff_t first = 0, last = (ptrdiff_t)samples->kept - 1;
    while (first < last) {
        ptrdiff_t left = first, right = last;
        samples_partition(samples->ns, &left, &right);
        if (place <= right)
            last = right;
        else if (place >= left)
            first = left;
        else
            break;
    }
    return (double)samples->ns[place];
}

double samples_median(struct samples *samples) { return samples_part(samples, 0.5); }
