#!/usr/bin/env python3
"""Writes copies of sources for the models: as they are checked, or with one deliberate defect that a model must find.

usage: defects.py list                        one line for each defect: name|model|scenario|source|property
       defects.py write NAME SOURCE OUTPUT    NAME is a defect's, or "none"

SPDX-License-Identifier: MIT
"""
import re
import sys

# What makes a model smaller and changes nothing that it checks: source, text, replacement.
REDUCTIONS = [
    ("lock.c", "SPINS = 100,", "SPINS = 1,"),
    ("kept.c", "KEPT_ROWS = 1024,", "KEPT_ROWS = 2,"),
    # Sums for statistics.
    ("page.c", """    count_apart(page, blocks);
    fetch_add_relaxed(&free_counts[piece % COUNT_PIECES].free_blocks[page->class_id], blocks);""",
     "    (void)piece, (void)page, (void)blocks, (void)count_apart;"),
]

NOT_LOST = "no page with free blocks stays FULL"
RACE = "no two threads race for memory that is not atomic"
WHOLE = "a row is read as one writer wrote it"
WAITING = "no thread waits for ever"

# Name, model, scenario that shows it, source, text that stands there once (spaces and line ends do not matter),
# replacement, property that does not hold then.
DEFECTS = [
    ("full_without_second_look", "page", "release_against_frees", "page.c",
     "if (!bitmap_is_empty(page->free, info) && cas_seq(&page->state, &full, PAGE_LISTED))",
     "if (false && cas_seq(&page->state, &full, PAGE_LISTED))",
     NOT_LOST),
    ("full_stored_with_release", "page", "release_against_frees", "page.c",
     "store_seq(&page->state, PAGE_FULL); uint8_t full",
     "store_release(&page->state, PAGE_FULL); uint8_t full",
     NOT_LOST),
    ("freed_without_look_at_state", "page", "release_against_frees", "page.c",
     "if (load_seq(&page->state) == PAGE_FULL && cas_seq(&page->state, &full, PAGE_LISTED)) page_list(page);",
     "(void)full;",
     NOT_LOST),
    ("listed_by_both", "page", "full_against_frees_and_claim", "page.c",
     "if (load_seq(&page->state) == PAGE_FULL && cas_seq(&page->state, &full, PAGE_LISTED))",
     "if (load_seq(&page->state) == full)",
     RACE),
    ("claimed_by_both", "page", "release_against_claims", "page.c",
     "if (!(fetch_and_seq(&slab->listed, ~bit) & bit))",
     "if (!(load_seq(&slab->listed) & bit) || (fetch_and_seq(&slab->listed, ~bit), false))",
     RACE),
    ("hint_without_second_look", "page", "hint_out_of_date", "page.c",
     "page = slab_claim(slab_at(n), class_id, group); if (page) { slabset_add(set, n); break; }",
     "",
     "the set of its class leads to a listed page"),
    ("class_not_looked_at_again", "page", "unit_changes_class", "page.c",
     "if (page->class_id == class_id && load_relaxed(&page->group) == group) return page;",
     "return page;",
     "a page of the class asked for is acquired"),
    ("empty_without_second_look", "page", "release_against_frees", "page.c",
     "page_enlist(page); if (bitmap_is_full(page->free, info)) unit_retire(slab, unit);",
     "page_enlist(page); (void)info, (void)slab, (void)unit;",
     "a page whose blocks are all free is unmade"),
    ("unmade_while_trimmed", "page", "trim_against_free", "page.c",
     "if (!bitmap_is_full(page->free, info)) return false; size_t used",
     "size_t used",
     RACE),
    ("taken_by_both", "page", "trim_against_release", "page.c",
     "return mask ? fetch_and_acquire(word, ~mask) & mask : 0;",
     "return fetch_and_acquire(word, ~mask), mask;",
     RACE),
    ("taken_without_acquire", "page", "full_against_frees_and_claim", "page.c",
     "return mask ? fetch_and_acquire(word, ~mask) & mask : 0;",
     "return mask ? atomic_fetch_and_explicit(word, ~mask, memory_order_relaxed) & mask : 0;",
     RACE),
    ("given_back_without_release", "page", "release_against_frees", "page.c",
     "fetch_or_seq(&page->free[word], mask);",
     "atomic_fetch_or_explicit(&page->free[word], mask, memory_order_acquire);",
     RACE),

    ("hole_with_used_blocks", "page", "trim_against_release", "purge.c",
     "if ((bits & mask) != mask) {",
     "if (false) {",
     RACE),
    ("hole_taken_without_acquire", "page", "trim_against_free", "purge.c",
     "while (!cas_acquire(free, &bits, bits & ~mask));",
     "while (!atomic_compare_exchange_strong_explicit(free, &bits, bits & ~mask, memory_order_relaxed, memory_order_relaxed));",
     RACE),
    ("resident_when_in_use", "page", "two_words_against_release", "page.c",
     "page->ready = (uint16_t)(end / memory_page);",
     "",
     "what is made resident was not written to"),

    ("removed_without_second_look", "slabset", "add_against_remove", "slabset.c",
     "if (level > MEMBERS && load_seq(word_at(level - 1, set, index)) != 0) {",
     "if (false) {",
     "what is in the set is found"),
    ("removed_without_look_higher_up", "slabset", "two_rows", "slabset.c",
     "if (level > MEMBERS && load_seq(word_at(level - 1, set, index)) != 0) {",
     "if (level == ROWS && load_seq(word_at(level - 1, set, index)) != 0) {",
     "what is in the set is found"),
    ("summary_before_word", "slabset", "add_against_remove", "slabset.c",
     "fetch_or_seq(word_at(MEMBERS, set, number / GROUP_SLABS), (uint64_t)1 << number % GROUP_SLABS); "
     "bit_set(ROWS, set, number / GROUP_SLABS);",
     "bit_set(ROWS, set, number / GROUP_SLABS); "
     "fetch_or_seq(word_at(MEMBERS, set, number / GROUP_SLABS), (uint64_t)1 << number % GROUP_SLABS);",
     "what is in the set is found"),

    ("full_before_written", "depot", "givers_and_takers", "remote.c",
     "store_relaxed(&batch->count, count);",
     "fetch_or_release(&depot->full, bit); store_relaxed(&batch->count, count);",
     RACE),
    ("full_without_release", "depot", "givers_and_takers", "remote.c",
     "fetch_or_release(&depot->full, bit);",
     "atomic_fetch_or_explicit(&depot->full, bit, memory_order_relaxed);",
     RACE),
    ("free_before_read", "depot", "slot_used_again_by_its_reader", "remote.c",
     "unsigned count = load_relaxed(&batch->count);",
     "atomic_fetch_and_explicit(&depot->claimed, ~bit, memory_order_release); "
     "unsigned count = load_relaxed(&batch->count);",
     RACE),
    ("claimed_without_acquire", "depot", "slots_used_again", "remote.c",
     "if (atomic_fetch_or_explicit(&depot->claimed, bit, memory_order_acquire) & bit)",
     "if (atomic_fetch_or_explicit(&depot->claimed, bit, memory_order_relaxed) & bit)",
     RACE),
    ("emptied_by_both", "depot", "givers_and_takers", "remote.c",
     "if (!(fetch_and_acquire(&depot->full, ~bit) & bit))",
     "if (!(load_relaxed(&depot->full) & bit) || (fetch_and_acquire(&depot->full, ~bit), false))",
     RACE),
    ("written_by_both", "depot", "givers_and_takers", "remote.c",
     "if (atomic_fetch_or_explicit(&depot->claimed, bit, memory_order_acquire) & bit)",
     "if (atomic_fetch_or_explicit(&depot->claimed, bit, memory_order_acquire) == bit + 1)",
     RACE),

    ("released_without_wake", "lock", "two_threads_twice", "lock.c",
     "os_wake_one(&lock->word);",
     "(void)0;",
     WAITING),
    ("woken_takes_uncontended", "lock", "three_threads", "lock.c",
     "if (lock_try(lock, 0, self | CONTENDED))",
     "if (lock_try(lock, 0, self))",
     WAITING),
    ("sleeps_unannounced", "lock", "two_threads_twice", "lock.c",
     "if (!(seen & CONTENDED) && !lock_try(lock, seen, seen | CONTENDED)) continue; os_wait(&lock->word, seen | CONTENDED,",
     "os_wait(&lock->word, seen,",
     WAITING),
    ("released_without_release", "lock", "two_threads_twice", "lock.c",
     "exchange_release(&lock->word, 0)",
     "exchange_acquire(&lock->word, 0)",
     RACE),
    ("taken_over_by_both", "lock", "holder_vanished", "lock.c",
     "lock_try(lock, seen | CONTENDED, self | CONTENDED))",
     "(store_seq(&lock->word, self | CONTENDED), true))",
     RACE),
    ("taken_from_the_living", "lock", "three_threads_waking_early", "lock.c",
     "!os_thread_exists(seen & ~CONTENDED) &&",
     "",
     RACE),
    ("row_without_second_look", "kept", "read_while_replaced", "kept.c",
     "if (version % 2 != 0 || load_relaxed(&entry->version) != version || words[0] != address)",
     "if (version % 2 != 0 || words[0] != address)",
     WHOLE),
    ("row_while_written", "kept", "read_while_written", "kept.c",
     "if (version % 2 != 0 || load_relaxed(&entry->version) != version || words[0] != address)",
     "if (load_relaxed(&entry->version) != version || words[0] != address)",
     WHOLE),
    ("row_by_two_writers", "kept", "three_writers", "kept.c",
     "if (version % 2 != 0 || !cas_acquire(&entry->version, &version, version + 1))",
     "store_relaxed(&entry->version, version | 1); if (false)",
     WHOLE),
]


def replaced(source, text, old, new):
    pattern = r"\s+".join(re.escape(word) for word in old.split())
    result, count = re.subn(pattern, lambda _: new, text)
    if count != 1:
        sys.exit(f"test/model/defects.py: not once but {count} times in {source}; bring the table up to date:\n  {old}")
    return result


def write(name, path, output):
    source = path.rsplit("/", 1)[-1]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for reduced, old, new in REDUCTIONS:
        if reduced == source:
            text = replaced(source, text, old, new)
    for defect, _, _, where, old, new, _ in DEFECTS:
        if defect == name and where == source:
            text = replaced(source, text, old, new)
    with open(output, "w", encoding="utf-8") as file:
        file.write(f'#line 1 "{path}"\n{text}')


def main(arguments):
    if arguments == ["list"]:
        for name, model, scenario, source, _, _, violated in DEFECTS:
            print(f"{name}|{model}|{scenario}|{source}|{violated}")
    elif len(arguments) == 4 and arguments[0] == "write":
        write(*arguments[1:])
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
