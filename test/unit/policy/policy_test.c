/* policy_test.c - the static policy, what each option makes of it, changes to it, and the class that is fitted.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include "hakmem.h"
#include "system/lock.h"
#include "heap/map.h"
#include "system/options.h"
#include "policy/policy.h"
#include "cache/remote.h"
#include "cache/ring.h"

static const uint64_t g_defaults[] = {
#define X(id, name, kind, value, min, max, doc) value,
#include "system/options.def"
#undef X
};

static int options_reset(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTION_COUNT; i++)
        option_values[i] = g_defaults[i];
    return 0;
}

static void must_be_like_static(const struct policy *policy, unsigned c)
{
    const struct class_policy *a = &policy->class[c], *b = &policy_static.class[c];
    must(a->capacity == b->capacity && a->first == b->first && a->batch == b->batch && a->wmax == b->wmax &&
             a->hands_over == b->hands_over && a->huge == b->huge,
         "class %u differs from the static policy", c);
}

/* Without options the base is the static policy, field by field; and that is what its formulas say. */
static void test_static(void **state)
{
    (void)state;
    struct policy base;
    policy_base(&base);
    assert_true(policy_is_valid(&policy_static));
    assert_int_equal(policy_static.version, 0);
    for (unsigned c = 1; c <= CLASS_FIXED_LAST; c++) {
        size_t size = class_size(c);
        size_t capacity =
            size <= 32 * KIB ? max_size(64, min_size(4094, 256 * KIB / size)) : max_size(2, 2 * MIB / size);
        must_be_like_static(&base, c);
        assert_int_equal(base.class[c].capacity, capacity);
        assert_int_equal(base.class[c].first, max_size(2, min_size(14, 16 * KIB / size)));
        assert_int_equal(base.class[c].hands_over, size >= 1024);
        assert_in_range(policy_capacity_limit(c), capacity, POLICY_RING_MAX);
    }
    assert_int_equal(base.thread_bytes_min, 32 * KIB);
    assert_int_equal(base.thread_bytes_max, 8 * MIB);
    assert_int_equal(base.all_bytes, 64 * MIB);
}

static void test_capacity_options(void **state)
{
    (void)state;
    struct policy base;
    option_values[OPTION_CAP_MID] = 3 | 0 << 12 | 5 << 24 | 6ull << 36 | 7ull << 48;
    option_values[OPTION_CAP_LARGE] = 1 | 0 << 12 | 9ull << 48;
    policy_base(&base);
    assert_true(policy_is_valid(&base));
    static const struct {
        size_t size;
        unsigned capacity; /* 0: as ever */
    } cases[] = {{1024, 0},  {1025, 3},  {2048, 3},  {2049, 0},  {4096, 0},  {4097, 5},  {8192, 5},   {8193, 6},
                 {16384, 6}, {16385, 7}, {32768, 7}, {32769, 1}, {65536, 1}, {65537, 0}, {1048576, 9}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned c = class_of(cases[i].size), expected = cases[i].capacity;
        must(base.class[c].capacity == (expected ? expected : policy_static.class[c].capacity),
             "size %zu: a capacity of %u", cases[i].size, base.class[c].capacity);
        assert_in_range(base.class[c].first, 1, base.class[c].capacity);
    }
    option_values[OPTION_CAP_MAX_MID] = 4;
    policy_base(&base);
    assert_int_equal(base.class[class_of(20000)].capacity, 4);
    assert_int_equal(base.class[class_of(2048)].capacity, 3);
    assert_int_equal(policy_capacity_limit(class_of(2048)), 4);
    assert_int_equal(policy_capacity_limit(class_of(1024)), 1024);
}

static void test_batch_and_wmax_options(void **state)
{
    (void)state;
    struct policy base;
    option_values[OPTION_POOL_REFILL_BATCH] = 4;
    option_values[OPTION_WMAX_MID] = 140;
    option_values[OPTION_WMAX_LARGE] = 200;
    policy_base(&base);
    for (unsigned c = 1; c <= CLASS_FIXED_LAST; c++) {
        size_t size = class_size(c);
        assert_int_equal(base.class[c].batch, 4);
        assert_int_equal(base.class[c].wmax, size <= 1024 ? 0 : size <= 32 * KIB ? 40 : 100);
    }
}

/* There and back again: nothing remains of thrift. */
static void test_thrift(void **state)
{
    (void)state;
    struct policy base, policy;
    policy_base(&base);
    policy = base;
    policy_set_thrift(&policy, &base, true);
    assert_true(policy_is_valid(&policy) && policy.thrift && policy.thread_bytes_min < base.thread_bytes_min);
    for (unsigned c = 1; c <= CLASS_FIXED_LAST; c++) {
        assert_false(policy.class[c].hands_over);
        assert_in_range(policy.class[c].first, 1, base.class[c].first);
    }
    policy_set_thrift(&policy, &base, false);
    for (unsigned c = 1; c <= CLASS_FIXED_LAST; c++)
        must_be_like_static(&policy, c);
    assert_int_equal(policy.all_bytes, base.all_bytes);
    assert_int_equal(policy.thread_bytes_min, base.thread_bytes_min);
}

static void publish(const struct policy *policy)
{
    assert_true(policy_publish(policy));
}

/* A thread's rings comply: they grow to the policy's capacity, and shrink to that of a smaller one when it comes. */
static void rings_comply(void *unused)
{
    (void)unused;
    static void *blocks[8000];
    struct policy policy;
    unsigned c = class_of(200);
    policy_base(&policy);
    policy.class[c].capacity = 2000;
    publish(&policy);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT_OF(blocks); i++)
            blocks[i] = hak_malloc(200);
        for (size_t i = 0; i < COUNT_OF(blocks); i++)
            hak_free(blocks[i]);
    }
    assert_int_equal(cache_self->ring[c].array.capacity, 2000);
    policy.class[c].capacity = 100;
    publish(&policy);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = hak_malloc(200);
    assert_int_equal(cache_self->ring[c].array.capacity, 100);
    assert_true(cache_is_valid(cache_self));
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        hak_free(blocks[i]);
    assert_true(cache_is_valid(cache_self) && ring_count(cache_self, c) <= 100);
    heap_must_be_valid("after rings shrank");
}

static void test_rings_comply(void **state)
{
    (void)state;
    in_thread(rings_comply, NULL);
}

static void make_and_free(size_t size, size_t count)
{
    static void *blocks[64];
    for (size_t i = 0; i < count; i++)
        blocks[i] = hak_malloc(size);
    for (size_t i = 0; i < count; i++)
        hak_free(blocks[i]);
}

/* Slow calls, which are what looks at the clock and at the policy: they pass the rings by. */
static void be_slow(void)
{
    for (unsigned i = 0; i < 100; i++)
        ring_malloc_zeroed(class_of(16));
}

/* Thrift: a thread keeps no block and no page of a class above POLICY_MID_MIN, nor does the depot, whether it frees or
 * allocates; a class in much demand has a ring as long as it is; and all have one afterwards. */
static void thrift_keeps_nothing(void *unused)
{
    enum { SIZE = 8000, MUCH = 300, IDLE_MILLISECONDS = 300 };
    (void)unused;
    struct policy base, policy;
    unsigned c = class_of(SIZE);
    policy_base(&base);
    policy = base;
    make_and_free(SIZE, 20);
    assert_true(ring_count(cache_self, c) > 0);
    policy_set_thrift(&policy, &base, true);
    publish(&policy);
    be_slow();
    make_and_free(SIZE, 20);
    void *block = hak_malloc(SIZE);
    assert_null(cache_self->ring[c].array.slot);
    assert_null(cache_self->page[c]);
    assert_int_equal(remote_count(c), 0);
    assert_true(cache_is_valid(cache_self));
    heap_must_be_valid("after thrift took rings away");
    for (unsigned i = 0; i < MUCH; i++)
        make_and_free(SIZE, 1);
    assert_non_null(cache_self->ring[c].array.slot);
    for (unsigned i = 0; i < 3; i++) { /* what was used, what is in it, the ring itself */
        sleep_milliseconds(IDLE_MILLISECONDS);
        be_slow();
    }
    assert_null(cache_self->ring[c].array.slot);
    policy_set_thrift(&policy, &base, false);
    publish(&policy);
    make_and_free(SIZE, 20);
    assert_true(ring_count(cache_self, c) > 0);
    hak_free(block);
}

static void test_thrift_keeps_nothing(void **state)
{
    (void)state;
    in_thread(thrift_keeps_nothing, NULL);
}

/* With a W_MAX, a block of the next class stands in where a page would have to be made; never a larger one. */
static void stands_in(void *unused)
{
    (void)unused;
    struct policy policy;
    unsigned c = class_of(9000), next = c + 1;
    policy_base(&policy);
    publish(&policy);
    hak_free(hak_malloc(class_size(next)));
    void *own = hak_malloc(9000);
    assert_int_equal(map_class(own), c);
    hak_free(own);
    hak_collect();
    hak_free(hak_malloc(class_size(next)));
    policy.class[c].wmax = 40; /* 1.4 times 9000 is more than the next class's 12288 */
    publish(&policy);
    void *other = hak_malloc(9000), *more = hak_malloc(8200); /* 1.4 times that is less */
    assert_int_equal(map_class(other), next);
    assert_int_equal(map_class(more), c);
    hak_free(other);
    hak_free(more);
    hak_collect();
    policy_base(&policy);
    publish(&policy);
}

static void test_substitutes(void **state)
{
    (void)state;
    in_thread(stands_in, NULL);
}

/* A refill takes as many quarters of the capacity as the policy says. */
static void refills(void *argument)
{
    unsigned batch = *(const unsigned *)argument, c = class_of(60), most = 0;
    static void *blocks[20000];
    struct policy policy;
    policy_base(&policy);
    for (unsigned k = 1; k <= CLASS_FIXED_LAST; k++)
        policy.class[k].batch = (uint8_t)batch;
    publish(&policy);
    for (unsigned round = 0; round < 4; round++) {
        for (size_t i = 0; i < COUNT_OF(blocks); i++) {
            bool empty = cache_self != &cache_none && ring_count(cache_self, c) == 0;
            blocks[i] = hak_malloc(60);
            most = empty ? (unsigned)max_size(most, ring_count(cache_self, c) + 1) : most;
        }
        for (size_t i = 0; i < COUNT_OF(blocks); i++)
            hak_free(blocks[i]);
    }
    /* More than a page has, it cannot give. */
    unsigned allowed = (unsigned)min_size(cache_self->ring[c].array.capacity * batch / 4, class_info[c].blocks);
    must(most <= allowed && most * 2 > allowed, "batch %u: refills of %u blocks at most, %u allowed", batch, most,
         allowed);
}

static void test_batches(void **state)
{
    (void)state;
    for (unsigned batch = 1; batch <= 4; batch++)
        in_thread(refills, &batch);
}

/* ---- The class that is fitted ------------------------------------------------------------------------------------ */

static void test_fit_refuses(void **state)
{
    (void)state;
    static const size_t wrong[] = {0, 8, 16, 1, 1041, 1024, 1280, 32768, 32784, 65536};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        must(!class_fit(wrong[i]), "a class was fitted to %zu bytes", wrong[i]);
    assert_int_equal(class_last(), CLASS_FIXED_LAST);
    assert_false(class_is_fitted());
}

/* Every size goes to the class it should; every other fact of the classes stays. */
static void test_fit(void **state)
{
    (void)state;
    enum { SIZE = 1040 };
    struct policy policy;
    unsigned host = class_of(SIZE);
    void *before = hak_malloc(SIZE);
    policy_base(&policy);
    assert_true(policy_fit(&policy, SIZE));
    assert_true(policy_is_valid(&policy) && policy.fitted == SIZE && class_is_fitted());
    publish(&policy);
    for (size_t size = 0; size <= CLASS_MAX_SIZE; size++) {
        unsigned c = class_of(size);
        bool fitted = size > 1024 && size <= SIZE;
        must(fitted == (c == CLASS_FITTED) && class_size(c) >= size, "size %zu: class %u", size, c);
    }
    assert_int_equal(class_host(CLASS_FITTED), host);
    assert_int_equal(class_host(class_of(class_aligned_size(SIZE, 64))), host);
    assert_true(class_fit(SIZE) && !class_fit(2000));
    void *after = hak_malloc(SIZE), *aligned = hak_aligned_alloc(128, SIZE);
    assert_int_equal(hak_usable_size(after), SIZE);
    assert_int_equal(map_class(before), host);
    assert_true((uintptr_t)aligned % 128 == 0 && hak_usable_size(aligned) >= SIZE);
    class_unfit();
    assert_int_equal(class_of(SIZE), host);
    hak_free(before);
    hak_free(after);
    hak_free(aligned);
    assert_true(cache_is_valid(cache_self));
    heap_must_be_valid("after the fitted class");
    assert_true(class_fit(SIZE));
    for (size_t offset = 0; offset < class_info[CLASS_FITTED].units * UNIT_SIZE; offset++)
        must(class_block_index(CLASS_FITTED, offset) == offset / SIZE, "offset %zu", offset);
    class_unfit();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_static, options_reset),
        cmocka_unit_test_setup(test_capacity_options, options_reset),
        cmocka_unit_test_setup(test_batch_and_wmax_options, options_reset),
        cmocka_unit_test_setup(test_thrift, options_reset),
        cmocka_unit_test_setup(test_rings_comply, options_reset),
        cmocka_unit_test_setup(test_thrift_keeps_nothing, options_reset),
        cmocka_unit_test_setup(test_substitutes, options_reset),
        cmocka_unit_test_setup(test_batches, options_reset),
        cmocka_unit_test_setup(test_fit_refuses, options_reset),
        cmocka_unit_test_setup(test_fit, options_reset), /* once in a process, and so the last */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
