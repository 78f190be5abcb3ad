/* slabset_model.c - sets of superslabs: the word of a group and the words of the summaries are steps of their own.
 * SPDX-License-Identifier: MIT */
#include "model.h"
#include "heap/ground.h"
#include "heap/slabset.h"
#include "system/lock.h"

/* Numbers 1, 2 and 3 of a group that is not the first, so that only the summaries lead there from 0; one in the next
 * group, and one in the next row. */
enum { SET = 5, GROUPS = 65 };
enum { ONE = GROUP_SLABS + 1, TWO, THREE, OTHER_GROUP = 2 * GROUP_SLABS, FAR_GROUP = 64 * GROUP_SLABS };

/* ---- What lies below --------------------------------------------------------------------------------------------- */

static struct slab_group groups[GROUPS];
static _Atomic(uint64_t) rows[2][SET_COLUMNS];

bool lock_is_held(void) { return true; }
void error_assert(const char *condition, const char *file, int line)
{
    (void)file, (void)line;
    model_fail(condition);
}
bool lock_growth_is_held(void) { return true; }
char *ground_heap(void) { return (char *)SUPERSLAB_SIZE; }
char *ground_table(enum ground_table table) { return table == GROUND_GROUPS ? (char *)groups : (char *)rows; }
int ground_extend(enum ground_table table, size_t size)
{
    return size > (table == GROUND_GROUPS ? sizeof groups : sizeof rows);
}

static void empty(void)
{
    model_check(slab_cover(GROUPS * GROUP_SLABS), "the model begins");
}

static void with_1(void)
{
    empty();
    slabset_add(SET, ONE);
}

/* ---- What threads do --------------------------------------------------------------------------------------------- */

static void add_1(void) { slabset_add(SET, ONE); }
static void add_2(void) { slabset_add(SET, TWO); }
static void remove_1(void) { slabset_remove(SET, ONE); }
static void add_1_remove_1(void)
{
    slabset_add(SET, ONE);
    slabset_remove(SET, ONE);
}
static void remove_1_add_1(void)
{
    slabset_remove(SET, ONE);
    slabset_add(SET, ONE);
}
static void add_3_remove_3(void)
{
    slabset_add(SET, THREE);
    slabset_remove(SET, THREE);
}

/* Nobody removes from this element's group, so that it is found at once. */
static void add_to_other_group(void)
{
    slabset_add(SET, OTHER_GROUP);
    model_check(slabset_next(SET, OTHER_GROUP) == OTHER_GROUP, "an element is found when it was added");
    model_check(slabset_next(SET, 0) <= OTHER_GROUP, "an element is found when it was added");
}

/* The same a level higher. */
static void add_far(void)
{
    slabset_add(SET, FAR_GROUP);
    model_check(slabset_next(SET, FAR_GROUP) == FAR_GROUP, "an element is found when it was added");
}
static void add_far_remove_far(void)
{
    slabset_add(SET, FAR_GROUP + 1);
    slabset_remove(SET, FAR_GROUP + 1);
}

static void look(void)
{
    uint32_t found = slabset_next(SET, 0);
    model_check((found >= ONE && found <= THREE) || found == OTHER_GROUP || found == FAR_GROUP ||
                    found == FAR_GROUP + 1 || found == SLAB_NONE,
                "only elements are found");
}

/* ---- When all is quiet ------------------------------------------------------------------------------------------- */

/* What the words of the groups hold is exactly what is found, in ascending order. */
static void quiet(void)
{
    uint32_t from = 0;
    static const uint32_t numbers[] = {ONE, TWO, THREE, OTHER_GROUP, FAR_GROUP, FAR_GROUP + 1};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (slabset_has(SET, numbers[i])) {
            model_check(slabset_next(SET, from) == numbers[i], "what is in the set is found");
            model_check(slabset_previous(SET, numbers[i] + 1) == numbers[i], "what is in the set is found");
            from = numbers[i] + 1;
        }
    model_check(slabset_next(SET, from) == SLAB_NONE, "nothing else is found");
}

static void quiet_with_1(void)
{
    model_check(slabset_has(SET, ONE), "what was added and not removed is in the set");
    quiet();
}

static void quiet_with_2(void)
{
    model_check(slabset_has(SET, TWO) && !slabset_has(SET, ONE), "what was added and not removed is in the set");
    quiet();
}

static void quiet_with_other_group(void)
{
    model_check(slabset_has(SET, OTHER_GROUP), "what was added and not removed is in the set");
    quiet();
}

static void quiet_with_far_group(void)
{
    model_check(slabset_has(SET, FAR_GROUP), "what was added and not removed is in the set");
    quiet();
}

static const struct model_scenario scenarios[] = {
    {"add_against_remove", with_1, {remove_1, add_2, look}, quiet_with_2, false, 0},
    {"add_against_two_removes", with_1, {remove_1, add_2, add_3_remove_3}, quiet_with_2, false, 0},
    {"one_element", with_1, {remove_1, add_1, look}, quiet, false, 0},
    {"one_element_comes_and_goes", with_1, {remove_1_add_1, add_3_remove_3, look}, quiet_with_1, false, 0},
    {"removed_by_both", with_1, {add_1_remove_1, remove_1, add_2}, quiet_with_2, false, 0},
    {"added_by_both", empty, {add_1, add_2, add_3_remove_3}, quiet_with_1, false, 0},
    {"two_rows", empty, {add_far, add_far_remove_far, add_3_remove_3}, quiet_with_far_group, false, 0},
    {"two_groups", with_1, {add_to_other_group, remove_1_add_1, add_3_remove_3}, quiet_with_other_group, false, 0},
};

int main(int argc, char **argv) { return model_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios); }
