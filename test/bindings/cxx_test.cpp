// cxx_test.cpp - hakmem.hpp: the memory resource and the allocator serve containers with hakmem's blocks, at every
// alignment, and fail as the standard says.
// SPDX-License-Identifier: MIT
#include "support.h"

#include <hakmem.hpp>

#include <csetjmp>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <list>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

extern "C" {
#include <cmocka.h>
}

namespace
{

void must_hold(void *block, std::size_t size, std::size_t align)
{
    must(hak_usable_size(block) >= size, "%zu bytes: expected as many to be usable, saw %zu", size,
         hak_usable_size(block));
    must(reinterpret_cast<std::uintptr_t>(block) % align == 0, "%zu bytes: expected alignment %zu, saw %p", size, align,
         block);
    std::memset(block, 0x3C, size);
}

void test_resource_at_every_alignment(void **)
{
    hakmem::memory_resource resource{7};
    for (std::size_t align = 1; align <= 1 << 16; align *= 2) {
        for (std::size_t size : {0u, 1u, 24u, 1000u, 40000u, 3000000u}) {
            void *block = resource.allocate(size, align);
            must_hold(block, size, align);
            resource.deallocate(block, size, align);
        }
    }
}

void test_heap_has_what_its_containers_have(void **)
{
    hakmem::heap heap{"containers"};
    {
        std::pmr::list<std::pmr::string> list{&heap};
        for (int i = 0; i < 1000; i++)
            list.emplace_back("a string that is too long to lie in the object itself");
        must(heap.stats().blocks == 2000, "1000 nodes with strings: expected 2000 blocks, saw %zu",
             heap.stats().blocks);
        must(hak_heap_of(list.front().data()) == heap.native(), "a string lies in another heap");
    }
    must(heap.stats().blocks == 0, "the list is gone: expected no block, saw %zu", heap.stats().blocks);
    for (std::size_t align = 1; align <= 1 << 16; align *= 2)
        must_hold(heap.allocate(100, align), 100, align);
    heap.empty();
    must(heap.stats().live == 0, "an empty heap has %zu bytes", heap.stats().live);
}

void test_heap_fails_at_its_limit(void **)
{
    hakmem::heap heap{std::string{"limited"}, 1 << 20};
    bool threw = false;
    try {
        std::pmr::vector<char> vector(2 << 20, &heap);
    } catch (const std::bad_alloc &) {
        threw = true;
    }
    must(threw && heap.stats().refused == 1, "2 MiB in a heap of 1 MiB: expected std::bad_alloc");
    heap.limit(0);
    std::pmr::vector<char> vector(2 << 20, &heap);
    threw = false;
    try {
        hakmem::heap none{""};
    } catch (const std::bad_alloc &) {
        threw = true;
    }
    must(threw, "a heap without a name: expected std::bad_alloc");
}

void test_resources_are_equal_by_site(void **)
{
    hakmem::memory_resource one{1}, another_one{1}, two{2};
    must(one == another_one, "two resources of a site: expected them to be equal");
    must(one != two, "resources of two sites: expected them to differ");
    must(!(one == *std::pmr::new_delete_resource()), "another kind of resource: expected it to differ");
    must(two.site() == 2, "expected site 2, saw %zu", static_cast<std::size_t>(two.site()));
}

// Fills `units` with the 64 KiB units in which a list's elements lie.
void units_add(std::set<std::uintptr_t> &units, const std::pmr::list<int> &list)
{
    for (const int &number : list)
        units.insert(reinterpret_cast<std::uintptr_t>(&number) >> 16);
}

void test_sites_are_kept_apart(void **)
{
    if (std::getenv("HAKMEM_CHECK")) {
        skip_because("checked blocks are not kept apart");
        return;
    }
    hakmem::memory_resource one{1}, two{2};
    std::pmr::list<int> lists[] = {std::pmr::list<int>{&one}, std::pmr::list<int>{&two}};
    for (int i = 0; i < 20000; i++)
        for (auto &list : lists)
            list.push_back(i);
    std::set<std::uintptr_t> units, others;
    units_add(units, lists[0]);
    units_add(others, lists[1]);
    for (std::uintptr_t unit : units)
        must(others.count(unit) == 0, "unit %#zx: expected one site's elements, saw two's",
             static_cast<std::size_t>(unit));
}

void test_containers(void **)
{
    hakmem::memory_resource resource{3};
    std::pmr::unordered_map<int, std::pmr::string> texts{&resource};
    for (int i = 0; i < 1000; i++)
        texts.emplace(i, std::string(40, 'x'));
    auto copy = texts;
    auto moved = std::pmr::unordered_map<int, std::pmr::string>{std::move(texts), &resource};
    must(moved.size() == 1000, "expected 1000 moved texts, saw %zu", moved.size());
    must(moved.at(999) == copy.at(999), "expected the text that was put in, saw another");
    must(moved.at(0).get_allocator().resource() == &resource, "expected the texts to come from the map's resource");
}

struct alignas(256) wide {
    char bytes[256];
};

void test_allocator(void **)
{
    std::vector<int, hakmem::allocator<int>> numbers;
    for (int i = 0; i < 100000; i++)
        numbers.push_back(i);
    must(hak_usable_size(numbers.data()) >= numbers.size() * sizeof(int), "expected a block of hakmem's");
    std::map<int, int, std::less<int>, hakmem::allocator<std::pair<const int, int>>> tree;
    for (int i = 0; i < 1000; i++)
        tree[i] = i;
    auto copy = tree;
    must(copy.at(999) == 999, "expected 999, saw %d", copy.at(999));
    std::vector<wide, hakmem::allocator<wide>> rows(10);
    must_hold(rows.data(), rows.size() * sizeof(wide), alignof(wide));
    must(hakmem::allocator<int>{} == hakmem::allocator<long>{}, "expected allocators to be equal");
}

template <typename Error, typename Call> bool throws(Call call)
{
    try {
        call();
    } catch (const Error &) {
        return true;
    }
    return false;
}

void test_too_much(void **)
{
    hakmem::memory_resource resource;
    const std::size_t too_much = hidden_size(SIZE_MAX / 2 + 1);
    must(throws<std::bad_alloc>([&] { (void)resource.allocate(too_much, 8); }), "resource: expected bad_alloc");
    must(throws<std::bad_alloc>([&] { (void)resource.allocate(too_much, 4096); }), "aligned: expected bad_alloc");
    must(throws<std::bad_alloc>([&] { (void)hakmem::allocator<char>{}.allocate(too_much); }), "expected bad_alloc");
    must(throws<std::bad_array_new_length>([&] { (void)hakmem::allocator<wide>{}.allocate(too_much); }),
         "expected bad_array_new_length");
}

} // namespace

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resource_at_every_alignment),
        cmocka_unit_test(test_heap_has_what_its_containers_have),
        cmocka_unit_test(test_heap_fails_at_its_limit),
        cmocka_unit_test(test_resources_are_equal_by_site),
        cmocka_unit_test(test_sites_are_kept_apart),
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_allocator),
        cmocka_unit_test(test_too_much),
    };
    return RUN_TESTS(tests);
}
