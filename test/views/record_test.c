/* record_test.c - the reader of records: what is in one comes out, and whatever is wrong with one is said, in one line.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "read/record.h"
#include "read/source.h"

static _Alignas(64) char memory[FIXTURE_SIZE];

static struct record *fixture_open(void)
{
    struct record *record = record_open(fixture_file(memory, sizeof memory));
    assert_non_null(record);
    return record;
}

/* The reason why the fixture, as it is, or `what` is refused; valid until the next call. */
static const char *refusal(const char *what)
{
    static char *reason;
    free(reason);
    struct record *record = record_try(what ? what : fixture_file(memory, sizeof memory), &reason);
    record_close(record);
    assert_null(record);
    assert_null(strchr(reason, '\n'));
    return reason;
}

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}

static void what_is_in_it_comes_out(void **state)
{
    (void)state;
    fixture_fill(memory);
    struct record *record = fixture_open();
    const struct record_sample *samples;
    const struct record_mapping *mappings;
    uint64_t frames[RECORD_DEPTH];
    assert_int_equal(record_value(record, "bytes.live"), 80 << 20);
    assert_int_equal(record_value(record, "no.such"), 0);
    assert_int_equal(record_samples(record, &samples), 3);
    assert_int_equal(samples[0].block, 0x1000100000);
    assert_int_equal(samples[2].block, 0x1000300000);
    assert_int_equal(record_stacks(record), FIXTURE_STACKS);
    assert_null(record_stack(record, 3));
    assert_null(record_stack(record, FIXTURE_STACKS));
    assert_int_equal(record_stack(record, 2)->live, 40 << 20);
    assert_int_equal(record_frames(record, 2, frames), 3);
    assert_int_equal(frames[2], 0x500300);
    assert_int_equal(record_frames(record, 3, frames), 0);
    assert_int_equal(record_mappings(record, &mappings), 2);
    assert_string_equal(mappings[0].path, "/usr/bin/fixture");
    assert_string_equal(record_mapping_at(record, 0x500300)->build_id, "0123abcd");
    assert_null(record_mapping_at(record, 0x600000));
    assert_int_equal(record_process(record), 0);
    assert_false(record_is_torn(record));
    record_close(record);
}

static void statistics_come_by_their_names(void **state)
{
    (void)state;
    fixture_fill(memory);
    struct record *record = fixture_open();
    const struct record_statistic *statistics;
    size_t count = record_statistics(record, &statistics);
    assert_int_equal(count, fixture_header(memory)->value_count);
    assert_string_equal(statistics[0].name, "bytes.mapped");
    assert_true(statistics[0].is_bytes);
    assert_string_equal(statistics[count - 1].name, "flushed.pages");
    assert_false(statistics[count - 1].is_bytes);
    record_close(record);
}

static void a_refreshed_record_is_the_newer_one(void **state)
{
    (void)state;
    fixture_fill(memory);
    struct record *record = fixture_open();
    const struct record_statistic *statistics;
    fixture_set(memory, "bytes.live", 81 << 20);
    fixture_file(memory, sizeof memory);
    assert_int_equal(record_refresh(record), 0);
    assert_int_equal(record_value(record, "bytes.live"), 81 << 20);
    assert_true(record_statistics(record, &statistics) > 0);
    assert_string_equal(statistics[0].name, "bytes.mapped");
    fixture_header(memory)->began_wall++;
    fixture_file(memory, sizeof memory);
    assert_int_equal(record_refresh(record), -1);
    assert_int_equal(record_value(record, "bytes.live"), 81 << 20);
    record_close(record);
}

/* What is being written, or makes no sense, is left out. */
static void cells_have_blocks(void **state)
{
    const struct record_guard *guards;
    (void)state;
    fixture_fill(memory);
    struct record *record = fixture_open();
    assert_int_equal(record_guards(record, &guards), 2);
    assert_int_equal(guards[0].block, FIXTURE_CELL + (64 << 10) - 112);
    assert_int_equal(guards[1].ended_stack, 2);
    record_close(record);
    fixture_guards(memory)[0].block = 0;
    fixture_guards(memory)[1].size = UINT64_MAX - 4;
    record = fixture_open();
    assert_int_equal(record_guards(record, &guards), 0);
    record_close(record);
}

static void a_snapshot_in_the_making_is_known(void **state)
{
    (void)state;
    fixture_fill(memory);
    fixture_header(memory)->sequence = 7;
    struct record *record = fixture_open();
    assert_true(record_is_torn(record));
    record_close(record);
}

static void strings_are_ended_and_cannot_steer_a_terminal(void **state)
{
    (void)state;
    fixture_fill(memory);
    memset(fixture_header(memory)->program, '\033', sizeof fixture_header(memory)->program);
    struct record *record = fixture_open();
    const char *program = record_header(record)->program;
    assert_int_equal(strspn(program, "?"), sizeof record_header(record)->program - 1);
    assert_int_equal(strlen(program), sizeof record_header(record)->program - 1);
    record_close(record);
}

static void what_a_terminal_might_obey_is_replaced(void **state)
{
    (void)state;
    static const struct cleaned {
        const char *text, *clean;
    } cases[] = {
        {"caf\u00e9 \u20ac \U0001f600", "caf\u00e9 \u20ac \U0001f600"},
        {"a\tb\177", "a?b?"},
        {"\302\2332J", "??2J"},                                   /* C1's way to begin a sequence */
        {"\302\200\302\237\u00a0", "????\u00a0"},                 /* the first and the last of C1 */
        {"a\u202eb\u202a", "a???b???"},                           /* right to left */
        {"\u2029\u202f\u2065\u206a", "\u2029\u202f\u2065\u206a"}, /* beside those */
        {"\u2066\u2069", "??????"},
        {"\342\200", "??"}, /* cut */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        strcpy(text, cases[i].text);
        text_clean(text, sizeof text);
        assert_string_equal(text, cases[i].clean);
    }
}

static void entries_without_sense_are_left_out(void **state)
{
    (void)state;
    fixture_fill(memory);
    fixture_samples(memory)[3].stack = FIXTURE_STACKS;
    fixture_samples(memory)[5].block = fixture_samples(memory)[9].block;
    fixture_stacks(memory)[2].frames = FIXTURE_FRAMES - 2;
    fixture_stacks(memory)[1].depth = RECORD_DEPTH + 1;
    struct record *record = fixture_open();
    const struct record_sample *samples;
    assert_int_equal(record_samples(record, &samples), 1);
    assert_null(record_stack(record, 1));
    assert_null(record_stack(record, 2));
    record_close(record);
}

/* Each is done to a good record. */
static void magic_break(struct record_header *h) { h->magic ^= 1; }
static void order_break(struct record_header *h) { h->magic = __builtin_bswap64(h->magic); }
static void version_break(struct record_header *h) { h->version++; }
static void header_size_break(struct record_header *h) { h->header_size -= 8; }
static void state_break(struct record_header *h) { h->state = 0; }
static void values_break(struct record_header *h) { h->value_count = RECORD_VALUES + 1; }
static void history_break(struct record_header *h) { h->history_count = RECORD_HISTORY + 1; }
static void name_break(struct record_header *h) { h->names[0] = '"'; }
static void names_break(struct record_header *h) { memset(h->names, 'a', sizeof h->names); }
static void offset_break(struct record_header *h) { h->piece[1].offset = h->size; }
static void early_break(struct record_header *h) { h->piece[1].offset = sizeof *h - 8; }
static void alignment_break(struct record_header *h) { h->piece[3].offset += 4; }
static void count_break(struct record_header *h) { h->piece[0].count = UINT32_MAX; }
static void overlap_break(struct record_header *h) { h->piece[2].offset = h->piece[1].offset; }
static void size_break(struct record_header *h)
{
    h->size = UINT64_C(1) << 40;
    h->piece[0].count = 1 << 28;
}

static const struct damage {
    void (*make)(struct record_header *);
    const char *part;
} damages[] = {
    {magic_break, "neither a core file"},
    {order_break, "of a machine with the other byte order"},
    {version_break, "another version (3)"},
    {header_size_break, "another version"},
    {state_break, "header makes no sense"},
    {values_break, "more than there is room for"},
    {history_break, "more than there is room for"},
    {name_break, "its names make no sense"},
    {names_break, "its names make no sense"},
    {offset_break, "pieces"},
    {early_break, "pieces"},
    {alignment_break, "pieces"},
    {count_break, "pieces"},
    {overlap_break, "pieces"},
    {size_break, "pieces"},
};

static void damage_is_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        fixture_fill(memory);
        damages[i].make(fixture_header(memory));
        assert_says(refusal(NULL), damages[i].part);
    }
}

/* Reads whatever can be asked for; the result keeps the compiler from leaving it out. */
static uint64_t walk(const struct record *record)
{
    const struct record_statistic *statistics;
    const struct record_sample *samples;
    const struct record_mapping *mappings;
    const struct record_guard *guards;
    uint64_t sum = record_now(record) + strlen(record_header(record)->program);
    for (size_t i = record_statistics(record, &statistics); i-- > 0;)
        sum += statistics[i].value + strlen(statistics[i].name);
    for (size_t i = record_samples(record, &samples); i-- > 0;) {
        uint64_t frames[RECORD_DEPTH];
        for (unsigned depth = record_frames(record, samples[i].stack, frames); depth-- > 0;)
            sum += frames[depth] + (record_mapping_at(record, frames[depth]) ? 1 : 0);
    }
    for (size_t i = record_guards(record, &guards); i-- > 0;) {
        uint64_t frames[RECORD_DEPTH];
        sum += guards[i].block + record_frames(record, guards[i].born_stack, frames) +
               record_frames(record, guards[i].ended_stack, frames);
    }
    for (size_t i = record_mappings(record, &mappings); i-- > 0;)
        sum += strlen(mappings[i].path) + strlen(mappings[i].build_id);
    return sum;
}

/* Whether the bytes are taken for a record; if so, all of it is read. */
static bool is_taken(size_t size)
{
    static volatile uint64_t sum;
    char *reason;
    struct record *record = record_try(fixture_file(memory, size), &reason);
    if (record)
        sum = sum + walk(record);
    else
        assert_non_null(reason);
    free(reason);
    record_close(record);
    return record;
}

static void any_byte_may_be_wrong(void **state)
{
    static const unsigned char flips[] = {0x01, 0x80, 0xff};
    size_t refused = 0;
    (void)state;
    fixture_fill(memory);
    for (size_t i = 0; i < sizeof memory; i++)
        for (size_t j = 0; j < sizeof flips; j++) {
            memory[i] = (char)(memory[i] ^ flips[j]);
            refused += !is_taken(sizeof memory);
            memory[i] = (char)(memory[i] ^ flips[j]);
        }
    assert_true(is_taken(sizeof memory));
    assert_in_range(refused, 200, 20000);
}

static void any_end_may_be_missing(void **state)
{
    (void)state;
    fixture_fill(memory);
    const struct record_piece *last = &fixture_header(memory)->piece[RECORD_GUARDS];
    size_t needed = last->offset + last->count * sizeof(struct record_allocated);
    for (size_t size = 0; size < needed; size++)
        if (is_taken(size))
            fail_msg("a record that ends at %zu is taken", size);
    assert_true(is_taken(needed));
}

/* ---- Core files -------------------------------------------------------------------------------------------------- */

static char core[FIXTURE_CORE];

static void core_files_lead_to_the_record(void **state)
{
    const struct record_mapping *mappings;
    uint64_t start, size;
    (void)state;
    fixture_fill(memory);
    struct record *record = record_open(fixture_file(core, fixture_core(core, memory)));
    assert_non_null(record);
    assert_int_equal(record_value(record, "bytes.live"), 80 << 20);
    assert_int_equal(record_mappings(record, &mappings), 1);
    assert_string_equal(mappings[0].path, "/usr/bin/fixture");
    assert_true(record_place(record, &start, &size));
    assert_int_equal(start, 0x7f0000000000);
    record_close(record);
}

/* Of all but the record, which has a test of its own. */
static void any_byte_of_a_core_file_may_be_wrong(void **state)
{
    static const unsigned char flips[] = {0x01, 0x10, 0xff};
    size_t refused = 0;
    (void)state;
    fixture_fill(memory);
    size_t size = fixture_core(core, memory);
    for (size_t i = 0; i < FIXTURE_CORE - FIXTURE_SIZE; i++)
        for (size_t j = 0; j < sizeof flips; j++) {
            char *reason;
            core[i] = (char)(core[i] ^ flips[j]);
            struct record *record = record_try(fixture_file(core, size), &reason);
            refused += !record;
            assert_true(record || reason);
            free(reason);
            record_close(record);
            core[i] = (char)(core[i] ^ flips[j]);
        }
    assert_in_range(refused, 100, 2000);
}

static void a_core_file_without_the_record(void **state)
{
    (void)state;
    fixture_fill(memory);
    fixture_core(core, memory);
    char *reason;
    assert_null(record_try(fixture_file(core, FIXTURE_CORE - FIXTURE_SIZE), &reason));
    assert_says(reason, "does not hold the record");
    free(reason);
    memset(core + 2 * 4096, 0, 8); /* the pointer */
    assert_null(record_try(fixture_file(core, FIXTURE_CORE), &reason));
    assert_says(reason, "has recorded nothing yet");
    free(reason);
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

static void processes_that_have_none(void **state)
{
    (void)state;
    char own[32];
    snprintf(own, sizeof own, "%d", (int)getpid());
    assert_says(refusal(own), "does not run on hakmem");
    assert_says(refusal("999999999"), "there is no process 999999999");
}

static void a_process_that_has_ended(void **state)
{
    (void)state;
    char text[32];
    siginfo_t info;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    snprintf(text, sizeof text, "%d", (int)child);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_says(refusal(text), "it has ended");
    waitpid(child, NULL, 0);
    assert_says(refusal(text), "there is no process");
}

static void files_that_are_none(void **state)
{
    (void)state;
    assert_says(refusal("/nowhere"), "cannot open '/nowhere': No such file");
    assert_says(refusal("/dev/null"), "no regular file");
    assert_says(refusal("/proc/self/exe"), "neither a core file");
    fixture_fill(memory);
    memcpy(memory, "\x28\xb5\x2f\xfd", 4);
    assert_says(refusal(NULL), "compressed: 'zstd -d' first");
}

static void test_heaps_are_read_and_cleaned(void **state)
{
    (void)state;
    const struct record_heap *heaps;
    fixture_fill(memory);
    struct record_heap *own = fixture_heaps(memory);
    memset(own[1].name, 'x', sizeof own[1].name); /* not terminated */
    own[1].live = UINT64_MAX;
    strcpy(own[2].name, "b\033[2J");
    own[2].live = 5;
    own[2].mapped[0].size = UINT64_MAX;
    struct record *record = fixture_open();
    assert_int_equal(record_heaps(record, &heaps), 2);
    assert_int_equal(strlen(heaps[0].name), sizeof heaps[0].name - 1);
    assert_true(heaps[0].live < UINT64_C(1) << 60);
    assert_int_equal(heaps[1].live, 5);
    assert_int_equal(heaps[1].mapped[0].size, 0);
    assert_null(strchr(heaps[1].name, '\033'));
    assert_true(record_heaps_live(record) < UINT64_C(1) << 60);
    record_close(record);
}

/* Of a record that is a file, too, of which nothing can be asked. */
static void what_was_allocated_is_read(void **state)
{
    (void)state;
    fixture_fill(memory);
    struct record_allocated *own = fixture_allocated(memory), read;
    struct record_header *header = fixture_header(memory);
    own[2].bytes = 3000;
    own[2].block_parts = 5 * RECORD_BLOCK_PARTS;
    own[4].bytes = UINT64_MAX;
    header->piece[RECORD_GUARDS + 1] =
        (struct record_piece){RECORD_REQUESTS, 1, FIXTURE_SIZE - sizeof(struct record_requests)};
    struct record_requests *requests = (struct record_requests *)((char *)memory + FIXTURE_SIZE) - 1;
    requests->counted = 700;
    requests->counted_since = header->taken_at - 300;
    struct record *record = fixture_open();
    assert_true(record_allocated(record, 2, &read));
    assert_int_equal(read.bytes, 3000);
    assert_int_equal(read.block_parts, 5 * RECORD_BLOCK_PARTS);
    assert_true(record_allocated(record, 4, &read));
    assert_true(read.bytes < UINT64_C(1) << 60);
    assert_false(record_allocated(record, 3, &read));
    assert_false(record_allocated(record, FIXTURE_STACKS, &read));
    assert_int_equal(read.bytes, 0);
    assert_int_equal(record_counted(record), 1000);
    assert_false(record_requests(record, requests));
    record_close(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_allocated_is_read),
        cmocka_unit_test(test_heaps_are_read_and_cleaned),
        cmocka_unit_test(what_is_in_it_comes_out),
        cmocka_unit_test(statistics_come_by_their_names),
        cmocka_unit_test(a_refreshed_record_is_the_newer_one),
        cmocka_unit_test(cells_have_blocks),
        cmocka_unit_test(a_snapshot_in_the_making_is_known),
        cmocka_unit_test(strings_are_ended_and_cannot_steer_a_terminal),
        cmocka_unit_test(what_a_terminal_might_obey_is_replaced),
        cmocka_unit_test(entries_without_sense_are_left_out),
        cmocka_unit_test(damage_is_said),
        cmocka_unit_test(any_byte_may_be_wrong),
        cmocka_unit_test(any_end_may_be_missing),
        cmocka_unit_test(core_files_lead_to_the_record),
        cmocka_unit_test(any_byte_of_a_core_file_may_be_wrong),
        cmocka_unit_test(a_core_file_without_the_record),
        cmocka_unit_test(processes_that_have_none),
        cmocka_unit_test(a_process_that_has_ended),
        cmocka_unit_test(files_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
