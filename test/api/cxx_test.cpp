// cxx_test.cpp - operator new and delete in every form, the new_handler loop, and the standard library on top of them.
// SPDX-License-Identifier: MIT
#include "support.h"

#include <cerrno>
#include <csetjmp>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#include <cmocka.h>
}

namespace
{

constexpr std::size_t kTooMuch = SIZE_MAX - 4096;

void must_place(void *block, std::size_t size, std::size_t alignment, const char *form)
{
    must(block != nullptr, "%s of %zu: expected a block, saw null", form, size);
    must(reinterpret_cast<std::uintptr_t>(block) % alignment == 0, "%s of %zu: expected alignment %zu, saw %p", form,
         size, alignment, block);
    std::memset(block, 0x3C, size);
}

void test_every_form(void **)
{
    static const std::size_t sizes[] = {0, 1, 8, 24, 100, 1000, 5000, 40000, 300000, 5000000};
    for (std::size_t size : sizes) {
        void *block = ::operator new(size);
        must_place(block, size, 16, "new");
        ::operator delete(block);
        block = ::operator new(size);
        ::operator delete(block, size);
        block = ::operator new[](size);
        must_place(block, size, 16, "new[]");
        ::operator delete[](block);
        block = ::operator new[](size);
        ::operator delete[](block, size);
        block = ::operator new(size, std::nothrow);
        must_place(block, size, 16, "new nothrow");
        ::operator delete(block, std::nothrow);
        block = ::operator new[](size, std::nothrow);
        must_place(block, size, 16, "new[] nothrow");
        ::operator delete[](block, std::nothrow);
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr);
}

void test_every_aligned_form(void **)
{
    static const std::size_t sizes[] = {0, 1, 64, 100, 4096, 10000, 300000};
    static const std::size_t alignments[] = {8, 16, 32, 64, 4096, 65536, 2097152};
    for (std::size_t size : sizes) {
        for (std::size_t number : alignments) {
            auto alignment = static_cast<std::align_val_t>(number);
            void *block = ::operator new(size, alignment);
            must_place(block, size, number, "aligned new");
            ::operator delete(block, alignment);
            block = ::operator new(size, alignment);
            ::operator delete(block, size, alignment);
            block = ::operator new[](size, alignment);
            must_place(block, size, number, "aligned new[]");
            ::operator delete[](block, alignment);
            block = ::operator new[](size, alignment);
            ::operator delete[](block, size, alignment);
            block = ::operator new(size, alignment, std::nothrow);
            must_place(block, size, number, "aligned new nothrow");
            ::operator delete(block, alignment, std::nothrow);
            block = ::operator new[](size, alignment, std::nothrow);
            must_place(block, size, number, "aligned new[] nothrow");
            ::operator delete[](block, alignment, std::nothrow);
        }
    }
}

template <typename Function> bool throws_bad_alloc(Function function)
{
    try {
        hidden(function());
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void test_bad_alloc(void **)
{
    auto page = static_cast<std::align_val_t>(4096);
    std::size_t much = hidden_size(kTooMuch);
    must(throws_bad_alloc([=] { return ::operator new(much); }), "new: expected std::bad_alloc");
    must(throws_bad_alloc([=] { return ::operator new[](much); }), "new[]: expected std::bad_alloc");
    must(throws_bad_alloc([=] { return ::operator new(much, page); }), "aligned new: expected std::bad_alloc");
    must(throws_bad_alloc([=] { return ::operator new[](much, page); }), "aligned new[]: expected std::bad_alloc");
    must(hidden(::operator new(much, std::nothrow)) == nullptr, "new nothrow: expected null");
    must(hidden(::operator new[](much, std::nothrow)) == nullptr, "new[] nothrow: expected null");
    must(hidden(::operator new(much, page, std::nothrow)) == nullptr, "aligned new nothrow: expected null");
    must(hidden(::operator new[](much, page, std::nothrow)) == nullptr, "aligned new[] nothrow: expected null");
}

int g_handler_calls;

void handler_counts()
{
    if (++g_handler_calls == 3) {
        std::set_new_handler(nullptr);
    }
}

void handler_throws()
{
    g_handler_calls++;
    throw std::bad_alloc();
}

// The handler is called again and again until it gives up, for the throwing and for the nothrow forms.
void test_new_handler_loop(void **)
{
    std::size_t much = hidden_size(kTooMuch);
    g_handler_calls = 0;
    std::set_new_handler(handler_counts);
    must(throws_bad_alloc([=] { return ::operator new(much); }),
         "new with a handler: expected std::bad_alloc in the end");
    must(g_handler_calls == 3, "new with a handler: expected 3 calls of it, saw %d", g_handler_calls);
    g_handler_calls = 0;
    std::set_new_handler(handler_counts);
    must(hidden(::operator new(much, std::nothrow)) == nullptr, "new nothrow with a handler: expected null in the end");
    must(g_handler_calls == 3, "new nothrow with a handler: expected 3 calls of it, saw %d", g_handler_calls);
    std::set_new_handler(nullptr);
}

// What the handler throws is operator new's exception. (The nothrow form lets it pass too: a limit, in the manual page.)
void test_new_with_a_throwing_handler(void **)
{
    std::size_t much = hidden_size(kTooMuch);
    g_handler_calls = 0;
    std::set_new_handler(handler_throws);
    must(throws_bad_alloc([=] { return ::operator new(much); }), "new with a throwing handler: expected its exception");
    must(g_handler_calls == 1, "throwing handler: expected one call, saw %d", g_handler_calls);
    std::set_new_handler(nullptr);
}

struct alignas(64) Line {
    char bytes[64];
};

struct alignas(4096) Sheet {
    char bytes[4096];
};

void test_over_aligned_types(void **)
{
    for (int round = 0; round < 100; round++) {
        auto *line = new Line;
        auto *sheet = new Sheet;
        auto *lines = new Line[7];
        must_place(line, sizeof *line, 64, "new of a type aligned to 64");
        must_place(sheet, sizeof *sheet, 4096, "new of a type aligned to 4096");
        must_place(lines, sizeof *lines * 7, 64, "new[] of a type aligned to 64");
        delete line;
        delete sheet;
        delete[] lines;
    }
}

// A constructor that throws: the runtime calls the matching delete.
struct Thrower {
    char bytes[5000];
    Thrower() { throw 5; }
};

void test_constructor_that_throws(void **)
{
    std::size_t before = process_rss();
    for (int i = 0; i < 20000; i++) {
        try {
            hidden(new Thrower);
        } catch (int) {
        }
    }
    std::size_t after = process_rss();
    must(after < before + 8 * MIB, "20000 throwing constructors: RSS grew from %zu to %zu KiB", before / KIB,
         after / KIB);
}

void test_standard_library(void **)
{
    auto work = [](unsigned seed) {
        std::map<std::string, std::vector<unsigned>> map;
        for (unsigned i = 0; i < 20000; i++) {
            map["key " + std::to_string((i * 7919 + seed) % 5000)].push_back(i);
        }
        std::size_t total = 0;
        for (const auto &entry : map) {
            total += entry.second.size();
        }
        must(total == 20000, "expected 20000 entries, saw %zu", total);
    };
    std::thread first(work, 1);
    std::thread second(work, 2);
    work(3);
    first.join();
    second.join();
}

} // namespace

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form),
        cmocka_unit_test(test_every_aligned_form),
        cmocka_unit_test(test_bad_alloc),
        cmocka_unit_test(test_new_handler_loop),
        cmocka_unit_test(test_new_with_a_throwing_handler),
        cmocka_unit_test(test_over_aligned_types),
        cmocka_unit_test(test_constructor_that_throws),
        cmocka_unit_test(test_standard_library),
    };
    return RUN_TESTS(tests);
}
