/* operators_program.cpp - calls every operator new and delete and prints which of the program's own that led to. What
 * it prints must not depend on the allocator.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include "operators.h"

#include <initializer_list>
#include <new>
#include <stdio.h>

int operator_calls[OPERATORS];

static void show(const char *what)
{
    printf("%s:", what);
    for (int &calls : operator_calls) {
        printf(" %d", calls);
        calls = 0;
    }
    printf("\n");
}

#define SHOW(call) (call, show(#call))

static void use_plain(size_t size)
{
    void *blocks[6];
    SHOW(blocks[0] = ::operator new(size));
    SHOW(blocks[1] = ::operator new[](size));
    SHOW(blocks[2] = ::operator new(size, std::nothrow));
    SHOW(blocks[3] = ::operator new[](size, std::nothrow));
    SHOW(blocks[4] = ::operator new(size));
    SHOW(blocks[5] = ::operator new[](size));
    SHOW(::operator delete(hidden(blocks[0])));
    SHOW(::operator delete[](hidden(blocks[1])));
    SHOW(::operator delete(hidden(blocks[2]), std::nothrow));
    SHOW(::operator delete[](hidden(blocks[3]), std::nothrow));
    SHOW(::operator delete(hidden(blocks[4]), size));
    SHOW(::operator delete[](hidden(blocks[5]), size));
}

static void use_aligned(size_t size, std::align_val_t align)
{
    void *blocks[6];
    SHOW(blocks[0] = ::operator new(size, align));
    SHOW(blocks[1] = ::operator new[](size, align));
    SHOW(blocks[2] = ::operator new(size, align, std::nothrow));
    SHOW(blocks[3] = ::operator new[](size, align, std::nothrow));
    SHOW(blocks[4] = ::operator new(size, align));
    SHOW(blocks[5] = ::operator new[](size, align));
    for (void *block : blocks)
        must((uintptr_t)hidden(block) % (size_t)align == 0, "%p is not aligned to %zu", block, (size_t)align);
    SHOW(::operator delete(hidden(blocks[0]), align));
    SHOW(::operator delete[](hidden(blocks[1]), align));
    SHOW(::operator delete(hidden(blocks[2]), align, std::nothrow));
    SHOW(::operator delete[](hidden(blocks[3]), align, std::nothrow));
    SHOW(::operator delete(hidden(blocks[4]), size, align));
    SHOW(::operator delete[](hidden(blocks[5]), size, align));
}

int main(void)
{
    for (size_t size : std::initializer_list<size_t>{8, 1000, 100000, 2000000}) {
        use_plain(hidden_size(size));
        use_plain(hidden_size(size)); /* from rings, if these serve anybody */
        use_aligned(hidden_size(size), std::align_val_t{64});
        use_aligned(hidden_size(size), std::align_val_t{4096});
    }
    return 0;
}
