/* slabset_model.c - sets of superslabs: the word of a group and the summary of all groups are two steps.
 * SPDX-License-Identifier: MIT */
#include "model.h"
#include "slabset.h"

enum { SET = 5, OTHER_GROUP = GROUP_SLABS };

static struct slab_group groups[2];

static void set_begin(void)
{
    for (uint32_t i = 0; i < 2; i++)
        slab_group_add(i, &groups[i]);
}

static void set_begin_with_1(void)
{
    set_begin();
    slabset_add(SET, 1);
}

static void add_1(void) { slabset_add(SET, 1); }
static void add_2(void) { slabset_add(SET, 2); }
static void remove_1(void) { slabset_remove(SET, 1); }
static void add_1_remove_1(void)
{
    slabset_add(SET, 1);
    slabset_remove(SET, 1);
}
static void remove_1_add_1(void)
{
    slabset_remove(SET, 1);
    slabset_add(SET, 1);
}
static void add_3_remove_3(void)
{
    slabset_add(SET, 3);
    slabset_remove(SET, 3);
}
static void add_in_other_group(void) { slabset_add(SET, OTHER_GROUP); }

/* An element that is in all the time, and in a group that nobody takes another element from, is found meanwhile. */
static void look(void)
{
    uint32_t found = slabset_next(SET, 0);
    model_check(found == SLAB_NONE || found == 1 || found == 2 || found == 3 || found == OTHER_GROUP, "only elements are found");
}

/* What the words of the groups hold is exactly what is found, in ascending order. */
static void quiet(void)
{
    uint32_t from = 0;
    for (uint32_t number = 0; number < 2 * GROUP_SLABS; number++)
        if (slabset_has(SET, number)) {
            model_check(slabset_next(SET, from) == number, "what is in the set is found");
            from = number + 1;
        }
    model_check(slabset_next(SET, from) == SLAB_NONE, "nothing else is found");
}

static void quiet_with_2(void)
{
    model_check(slabset_has(SET, 2) && !slabset_has(SET, 1), "what was added and not removed is in the set");
    quiet();
}

static const struct model_scenario scenarios[] = {
    {"add_against_remove", set_begin_with_1, {remove_1, add_2, look}, quiet_with_2, false},
    {"add_against_two_removes", set_begin_with_1, {remove_1, add_2, add_3_remove_3}, quiet_with_2, false},
};

int main(int argc, char **argv) { return model_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios); }
