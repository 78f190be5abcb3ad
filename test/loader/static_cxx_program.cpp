// static_cxx_program.cpp - a C++ program linked with libhakmem.a: its operator new, its exceptions, its threads and
// streams.
// SPDX-License-Identifier: MIT
#include "hakmem.h"
#include "support.h"

#include <map>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace
{

const std::map<std::string, int> kBuiltBeforeMain = {{"one", 1}, {"two", 2}, {"three", 3}};

void prove()
{
    void *block = ::operator new(100);
    must(hak_usable_size(block) == hak_good_size(100), "operator new is not hakmem's: usable size %zu",
         hak_usable_size(block));
    ::operator delete(block);
}

void work(int seed)
{
    std::map<int, std::string> map;
    for (int i = 0; i < 5000; i++) {
        std::ostringstream text;
        text << "value " << i * seed;
        map[i * 7919 % 5003] = text.str();
    }
    try {
        throw std::runtime_error("an exception with a text that is too long for a small string");
    } catch (const std::exception &error) {
        must(std::string(error.what()).size() > 40, "the exception lost its text");
    }
}

void out_of_memory()
{
    bool thrown = false;
    try {
        hidden(::operator new(hidden_size(SIZE_MAX - 4096)));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    must(thrown, "operator new of too much: expected std::bad_alloc");
}

} // namespace

int main()
{
    prove();
    must(kBuiltBeforeMain.at("three") == 3, "a static object is not built");
    std::vector<std::thread> threads;
    for (int i = 1; i <= 3; i++) {
        threads.emplace_back(work, i);
    }
    work(5);
    for (auto &thread : threads) {
        thread.join();
    }
    out_of_memory();
    return 0;
}
