/* slabset_model.c - sets of superslabs: the word of a group and the summary of all groups are two steps.
 * SPDX-License-Identifier: MIT */
#include "model.h"
#include "heap/slabset.h"

enum { SET = 5, OTHER_GROUP = GROUP_SLABS };

static struct slab_group groups[2];

static void empty(void)
{
    for (uint32_t i = 0; i < 2; i++)
        slab_group_add(i, &groups[i]);
}

static void with_1(void)
{
    empty();
    slabset_add(SET, 1);
}

/* ---- What threads do --------------------------------------------------------------------------------------------- */

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

/* Nobody removes from this element's group, so that it is found at once. */
static void add_to_other_group(void)
{
    slabset_add(SET, OTHER_GROUP);
    model_check(slabset_next(SET, OTHER_GROUP) == OTHER_GROUP, "an element is found when it was added");
    model_check(slabset_next(SET, 0) <= OTHER_GROUP, "an element is found when it was added");
}

static void look(void)
{
    uint32_t found = slabset_next(SET, 0);
    model_check(found <= 3 || found == OTHER_GROUP || found == SLAB_NONE, "only elements are found");
}

/* ---- When all is quiet ------------------------------------------------------------------------------------------- */

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

static void quiet_with_1(void)
{
    model_check(slabset_has(SET, 1), "what was added and not removed is in the set");
    quiet();
}

static void quiet_with_2(void)
{
    model_check(slabset_has(SET, 2) && !slabset_has(SET, 1), "what was added and not removed is in the set");
    quiet();
}

static void quiet_with_other_group(void)
{
    model_check(slabset_has(SET, OTHER_GROUP), "what was added and not removed is in the set");
    quiet();
}

static const struct model_scenario scenarios[] = {
    {"add_against_remove", with_1, {remove_1, add_2, look}, quiet_with_2, false, 0},
    {"add_against_two_removes", with_1, {remove_1, add_2, add_3_remove_3}, quiet_with_2, false, 0},
    {"one_element", with_1, {remove_1, add_1, look}, quiet, false, 0},
    {"one_element_comes_and_goes", with_1, {remove_1_add_1, add_3_remove_3, look}, quiet_with_1, false, 0},
    {"removed_by_both", with_1, {add_1_remove_1, remove_1, add_2}, quiet_with_2, false, 0},
    {"added_by_both", empty, {add_1, add_2, add_3_remove_3}, quiet_with_1, false, 0},
    {"two_groups", with_1, {add_to_other_group, remove_1_add_1, add_3_remove_3}, quiet_with_other_group, false, 0},
};

int main(int argc, char **argv) { return model_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios); }
