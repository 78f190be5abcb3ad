/* depot_model.c - the depot's slots: claimed by a writer, full, emptied by a reader, free again; on the real remote.c.
 * SPDX-License-Identifier: MIT */
#include "model.h"

#include "system/error.h"
#include "system/os_clock.h"
#include "heap/page.h"
#include "cache/remote.h"

/* One class that the depot serves. A batch of the model has two blocks, enough to be mixed up. */
enum { CLASS = 1, BATCH = 2, BATCHES = 20, SLOTS = 16 };
struct class_info class_info[CLASS_SLOTS] = {[CLASS] = {.size = 64 << 10}};

static const struct policy model_policy = {.depot_bytes = 32 << 20, .depot_slots = 16, .class[CLASS].hands_over = true};
const struct policy *_Atomic policy_current = &model_policy;

/* Addresses of blocks: nobody looks behind them. */
static struct batch_content {
    char block[BATCH];
    uint8_t in_depot; /* plain memory, as the blocks' own: who takes a batch must see what its giver wrote */
} contents[BATCHES];

static void batch_arrives(void **blocks, unsigned count)
{
    struct batch_content *content = (struct batch_content *)blocks[0];
    size_t number = (size_t)(content - contents);
    bool is_whole = count == BATCH && number < BATCHES && blocks[1] == &content->block[1];
    model_check(is_whole, "batches come out whole and unmixed");
    model_check(content->in_depot == 1, "a batch comes out once");
    content->in_depot = 0;
}

static bool give(unsigned number)
{
    struct batch_content *content = &contents[number];
    void *blocks[BATCH] = {&content->block[0], &content->block[1]};
    content->in_depot = 1;
    bool given = remote_give(CLASS, blocks, BATCH);
    if (!given)
        content->in_depot = 0;
    return given;
}

static bool take(void)
{
    void *blocks[REMOTE_BATCH_MAX];
    unsigned count = remote_take(CLASS, blocks);
    if (count > 0)
        batch_arrives(blocks, count);
    return count > 0;
}

/* ---- What lies around -------------------------------------------------------------------------------------------- */

void page_return(void *const *blocks, unsigned count, const char *call)
{
    (void)call;
    if (count > 0)
        batch_arrives((void **)(uintptr_t)blocks, count);
}

void page_visit_begin(void) {}
void page_visit_end(void) {}

/* An interval has passed since setup when the threads begin, and does so between any two looks of one thread. */
uint64_t os_milliseconds(void)
{
    static __thread uint64_t looks;
    return (model_self() == MODEL_THREADS ? 1000 : 2000) * ++looks;
}

void error_assert(const char *condition, const char *file, int line)
{
    (void)file, (void)line;
    model_fail(condition);
}

/* ---- Scenarios --------------------------------------------------------------------------------------------------- */

static void give_0(void) { give(0); }
static void give_1(void) { give(1); }
static void give_0_then_1(void)
{
    give_0();
    give_1();
}
static void take_one(void) { take(); }
static void take_two(void)
{
    take();
    take();
}
static void take_then_give(void)
{
    take();
    give(0);
}
static void flush_resting(void) { remote_flush_resting(); }
static void flush_all(void) { remote_flush(); }

static void empty(void) {}
static void with_one(void) { model_check(give(3), "the model begins"); }
static void with_one_resting(void)
{
    with_one();
    remote_flush_resting();
}
static void with_one_slot(void)
{
    for (unsigned i = 0; i < SLOTS - 1; i++)
        model_check(give(BATCHES - 1 - i), "the model begins");
}

/* All that is in comes out, and then there is room for as many batches as there are slots. */
static void quiet(void)
{
    while (take())
        continue;
    for (unsigned i = 0; i < BATCHES; i++)
        model_check(contents[i].in_depot == 0, "no batch is lost");
    for (unsigned i = 0; i < SLOTS; i++)
        model_check(give(i), "no slot is lost");
    model_check(remote_count(CLASS) == SLOTS * BATCH, "the depot knows how much it holds");
}

static const struct model_scenario scenarios[] = {
    {"givers_and_takers", empty, {give_0, give_1, take_one, take_one}, quiet, false, 0},
    {"slots_used_again", empty, {give_0_then_1, take_two, take_one}, quiet, false, 0},
    {"slot_used_again_by_its_reader", with_one, {take_then_give, take_one, give_1}, quiet, false, 0},
    {"one_slot_left", with_one_slot, {give_0, give_1, take_one}, quiet, false, 0},
    {"flush_of_resting", with_one_resting, {flush_resting, flush_resting, take_one, give_0}, quiet, false, 0},
    {"flush_of_all", with_one, {flush_all, take_one, give_0}, quiet, false, 0},
};

int main(int argc, char **argv) { return model_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios); }
