/* nothrow_replaced.cpp - a program that replaces operator new, which throws: what is nothrow has to catch that.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include <new>
#include <stdlib.h>

static int g_news;

void *operator new(size_t size)
{
    g_news++;
    if (size > GIB)
        throw std::bad_alloc();
    return malloc(size);
}
void operator delete(void *block) noexcept { free(block); }

int main(void)
{
    size_t too_much = hidden_size(SIZE_MAX / 2 - 4096);
    for (int i = 0; i < 10000; i++) {
        g_news = 0;
        must(::operator new(too_much, std::nothrow) == nullptr, "nothrow new of a replaced one: expected NULL");
        must(::operator new[](too_much, std::nothrow) == nullptr, "nothrow new[] of a replaced one: expected NULL");
        must(g_news == 2, "expected two calls of the program's operator new, saw %d", g_news);
        ::operator delete(hidden(::operator new(100, std::nothrow)), std::nothrow);
    }
    return 0;
}
