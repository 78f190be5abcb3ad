// C++ that replaces operator new(size_t) and operator delete(void *) alone, as the standard allows: the array, nothrow
// and sized forms have to call these.
// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <string>
#include <vector>

static const size_t OFFSET = 16; // blocks are no addresses that malloc knows
static int made, gone;

void *operator new(size_t size)
{
    made++;
    return static_cast<char *>(malloc(size + OFFSET)) + OFFSET;
}

void operator delete(void *block) noexcept
{
    if (block == nullptr)
        return;
    gone++;
    free(static_cast<char *>(block) - OFFSET);
}

struct Base {
    virtual ~Base() = default;
    int numbers[10];
};

struct Heir : Base {
    std::vector<std::string> words;
};

// For a second or two, so that the process is seen.
int main()
{
    for (int i = 0; i < 1500000; i++) {
        Base *base = new Heir;
        delete base;
        delete[] new int[i % 100 + 1];
        delete new (std::nothrow) Heir;
        delete[] new (std::nothrow) std::string[3];
        std::map<int, std::string> table{{i, "text that is too long for the string itself"}};
    }
    printf("%d made, %d gone\n", made, gone);
    return made != gone;
}
