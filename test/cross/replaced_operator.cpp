/* replaced_operator.cpp - one operator, number REPLACED, as a program replaces it: counts its calls.
 * SPDX-License-Identifier: MIT */
#include "operators.h"

#include <new>
#include <stdlib.h>

using align_t = std::align_val_t;

__attribute__((unused)) static void *counted_new(operator_number number, size_t align, size_t size)
{
    operator_calls[number]++;
    return align == 0 ? malloc(size) : aligned_alloc(align, (size + align - 1) & -align);
}

__attribute__((unused)) static void counted_delete(operator_number number, void *block)
{
    operator_calls[number]++;
    free(block);
}

#if REPLACED == 0
void *operator new(size_t size) { return counted_new(NEW, 0, size); }
#elif REPLACED == 1
void *operator new[](size_t size) { return counted_new(NEW_ARRAY, 0, size); }
#elif REPLACED == 2
void *operator new(size_t size, const std::nothrow_t &) noexcept { return counted_new(NEW_NOTHROW, 0, size); }
#elif REPLACED == 3
void *operator new[](size_t size, const std::nothrow_t &) noexcept { return counted_new(NEW_ARRAY_NOTHROW, 0, size); }
#elif REPLACED == 4
void *operator new(size_t size, align_t align) { return counted_new(NEW_ALIGNED, (size_t)align, size); }
#elif REPLACED == 5
void *operator new[](size_t size, align_t align) { return counted_new(NEW_ARRAY_ALIGNED, (size_t)align, size); }
#elif REPLACED == 6
void *operator new(size_t size, align_t align, const std::nothrow_t &) noexcept
{
    return counted_new(NEW_ALIGNED_NOTHROW, (size_t)align, size);
}
#elif REPLACED == 7
void *operator new[](size_t size, align_t align, const std::nothrow_t &) noexcept
{
    return counted_new(NEW_ARRAY_ALIGNED_NOTHROW, (size_t)align, size);
}
#elif REPLACED == 8
void operator delete(void *block) noexcept { counted_delete(DELETE, block); }
#elif REPLACED == 9
void operator delete[](void *block) noexcept { counted_delete(DELETE_ARRAY, block); }
#elif REPLACED == 10
void operator delete(void *block, size_t) noexcept { counted_delete(DELETE_SIZED, block); }
#elif REPLACED == 11
void operator delete[](void *block, size_t) noexcept { counted_delete(DELETE_ARRAY_SIZED, block); }
#elif REPLACED == 12
void operator delete(void *block, const std::nothrow_t &) noexcept { counted_delete(DELETE_NOTHROW, block); }
#elif REPLACED == 13
void operator delete[](void *block, const std::nothrow_t &) noexcept { counted_delete(DELETE_ARRAY_NOTHROW, block); }
#elif REPLACED == 14
void operator delete(void *block, align_t) noexcept { counted_delete(DELETE_ALIGNED, block); }
#elif REPLACED == 15
void operator delete[](void *block, align_t) noexcept { counted_delete(DELETE_ARRAY_ALIGNED, block); }
#elif REPLACED == 16
void operator delete(void *block, size_t, align_t) noexcept { counted_delete(DELETE_SIZED_ALIGNED, block); }
#elif REPLACED == 17
void operator delete[](void *block, size_t, align_t) noexcept { counted_delete(DELETE_ARRAY_SIZED_ALIGNED, block); }
#else
#error "REPLACED is the number of an operator"
#endif
