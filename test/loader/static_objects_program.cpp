// static_objects_program.cpp - objects with static and thread-local storage, built before main and destroyed after it
// and at each thread's end, all of which allocate and free.
// SPDX-License-Identifier: MIT
#include "support.h"

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace
{

std::size_t g_destroyed;

struct Keeper {
    std::map<int, std::string> map;
    std::unique_ptr<char[]> large{new char[3000000]};
    Keeper()
    {
        for (int i = 0; i < 1000; i++) {
            map[i] = std::string(static_cast<std::size_t>(i), 'x');
        }
    }
    ~Keeper()
    {
        std::vector<std::string> late(100, std::string(500, 'y'));
        must(map.at(999).size() == 999 && late[99].size() == 500, "a static object lost its contents");
        __atomic_add_fetch(&g_destroyed, 1, __ATOMIC_RELAXED);
    }
};

Keeper g_first;
thread_local Keeper t_keeper;

Keeper &local_static()
{
    static Keeper keeper;
    return keeper;
}

// Runs last: it was registered first.
struct Last {
    ~Last()
    {
        std::size_t seen = __atomic_load_n(&g_destroyed, __ATOMIC_RELAXED);
        must(seen == 13, "expected 13 destructors to have run, saw %zu", seen);
    }
};

} // namespace

__attribute__((init_priority(101))) static Last g_last;

int main()
{
    for (int i = 0; i < 10; i++) {
        std::thread([] { t_keeper.map[5] += "z"; }).join();
    }
    t_keeper.map[1] = "main";
    local_static().map[2] = "two";
    return 0;
}
