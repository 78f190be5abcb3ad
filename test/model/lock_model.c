/* lock_model.c - the lock's word: contended bit, sleeping and waking, and taking over from a holder that has vanished;
 * on the real lock.c, with a spin of one round (defects.py) since more rounds only read the same again.
 *
 * Sleep has no time-out but in the last scenarios, so that a lost wake-up is seen.
 * SPDX-License-Identifier: MIT */
#include "model.h"

#include "system/lock.h"
#include "system/os_call.h"
#include "system/os_thread.h"

enum { FIRST_ID = 100, VANISHED_ID = FIRST_ID + MODEL_THREADS };

static unsigned guarded; /* plain: two threads in here at a time are a race */

uint32_t os_thread_id(void) { return FIRST_ID + model_self(); }
bool os_thread_exists(uint32_t id) { return id != VANISHED_ID; }
void os_forbid_calls(bool forbidden) { (void)forbidden; }
void error_assert(const char *condition, const char *file, int line)
{
    (void)file, (void)line;
    model_fail(condition);
}
void os_wake_one(_Atomic(uint32_t) *word) { model_wake_one(word); }

void os_wait(_Atomic(uint32_t) *word, uint32_t value, unsigned milliseconds)
{
    (void)milliseconds;
    model_sleep(word, value);
}

static void use_once(void)
{
    model_check(lock_acquire(), "a thread that does not hold the lock gets it");
    guarded++;
    lock_release();
}

static void use_and_interrupt(void)
{
    model_check(lock_acquire(), "a thread that does not hold the lock gets it");
    model_check(!lock_acquire(), "the holder is not let in once more");
    guarded++;
    model_check(lock_is_held(), "the holder knows that it holds the lock");
    lock_release();
}

static void use_twice(void)
{
    use_once();
    use_once();
}

static void nobody(void) {}

/* Setup's own thread is not there any more when the others begin. */
static void vanished(void)
{
    lock_watch(NULL, NULL);
    model_check(lock_acquire(), "the model begins");
}

static void expect_uses(unsigned uses)
{
    model_check(guarded == uses, "every use is counted");
    model_check(!lock_is_held() && lock_acquire(), "the lock is free");
}

static void quiet_2(void) { expect_uses(2); }
static void quiet_3(void) { expect_uses(3); }
static void quiet_4(void) { expect_uses(4); }
static void quiet_8(void) { expect_uses(8); }

static const struct model_scenario scenarios[] = {
    {"holder_interrupted", nobody, {use_and_interrupt, use_and_interrupt}, quiet_2, false, 0},
    {"two_threads_twice", nobody, {use_twice, use_twice}, quiet_4, false, 0},
    {"three_threads", nobody, {use_once, use_once, use_once}, quiet_3, false, 0},
    {"three_threads_one_twice", nobody, {use_twice, use_once, use_once}, quiet_4, false, 0},
    {"four_threads_twice", nobody, {use_twice, use_twice, use_twice, use_twice}, quiet_8, false, 3},
    {"three_threads_waking_early", nobody, {use_once, use_once, use_once}, quiet_3, true, 0},
    {"holder_vanished", vanished, {use_once, use_once, use_once}, quiet_3, true, 0},
};

int main(int argc, char **argv) { return model_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios); }
