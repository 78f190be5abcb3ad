// hakmem.hpp - hakmem for containers of the C++ standard library; C++17, and nothing but hakmem.h below it.
//
// A program needs none of this: operator new is hakmem's as soon as libhakmem is preloaded or linked. What stands here
// takes memory from hakmem whatever operator new is, and lets a container say what its memory is for (a site; see hakmem.h):
//
//     hakmem::memory_resource sessions{1};                 // with HAKMEM_SITES=1, in pages of its own
//     std::pmr::unordered_map<int, std::pmr::string> open{&sessions};
//
//     hakmem::heap cache{"cache"};                         // counted, shown by name, gone as a whole
//     std::pmr::vector<int> entries{&cache};
//
//     std::vector<int, hakmem::allocator<int>> numbers;    // without a virtual call
//
// All of it may be used from any thread, but for a heap's destructor and empty(). Failure throws std::bad_alloc; new_handlers are not
// called.
// SPDX-License-Identifier: MIT
#ifndef HAKMEM_HPP
#define HAKMEM_HPP

#include "hakmem.h"

#include <cstddef>
#include <limits>
#include <memory_resource>
#include <new>
#include <string>

namespace hakmem
{

namespace detail
{

// What every block is aligned to.
inline constexpr std::size_t alignment = 16;

inline void *allocate(std::size_t size, std::size_t align, hak_site_t site)
{
    void *block = align <= alignment ? hak_malloc_at(size, site) : hak_aligned_alloc(align, size);
    if (!block)
        throw std::bad_alloc{};
    return block;
}

} // namespace detail

// Blocks of hakmem's for std::pmr. A site of 0 names no purpose; blocks that are aligned to more than 16 bytes have no site.
class memory_resource : public std::pmr::memory_resource
{
  public:
    explicit memory_resource(hak_site_t site = 0) noexcept : site_{site} {}

    hak_site_t site() const noexcept { return site_; }

  private:
    void *do_allocate(std::size_t size, std::size_t align) override { return detail::allocate(size, align, site_); }

    void do_deallocate(void *block, std::size_t size, std::size_t) override { hak_free_at(block, size, site_); }

    // What one has allocated, any other may free; but containers that are moved keep to the pages of their site.
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        auto *same = dynamic_cast<const memory_resource *>(&other);
        return same && same->site_ == site_;
    }

    hak_site_t site_;
};

// A heap by name (hakmem.h). Its end frees all of its blocks, so nothing that has some may be used any more; empty() does the
// same, and the heap stays.
class heap : public std::pmr::memory_resource
{
  public:
    // `limit`: bytes that its blocks may have, 0 for any.
    explicit heap(const char *name, std::size_t limit = 0) : heap_{hak_heap_create(name)}
    {
        if (!heap_)
            throw std::bad_alloc{};
        hak_heap_set_limit(heap_, limit);
    }
    explicit heap(const std::string &name, std::size_t limit = 0) : heap{name.c_str(), limit} {}
    heap(const heap &) = delete;
    heap &operator=(const heap &) = delete;
    ~heap() override { hak_heap_destroy(heap_); }

    void empty() noexcept { hak_heap_empty(heap_); }
    void limit(std::size_t bytes) noexcept { hak_heap_set_limit(heap_, bytes); }
    hak_heap_t *native() const noexcept { return heap_; }

    hak_heap_stat_t stats() const noexcept
    {
        hak_heap_stat_t stat;
        hak_heap_stats(heap_, &stat);
        return stat;
    }

  private:
    void *do_allocate(std::size_t size, std::size_t align) override
    {
        void *block = align <= detail::alignment ? hak_heap_malloc(heap_, size) : hak_heap_aligned_alloc(heap_, align, size);
        if (!block)
            throw std::bad_alloc{};
        return block;
    }

    void do_deallocate(void *block, std::size_t size, std::size_t) override
    {
        if (size == 0)
            hak_free(block);
        else
            hak_free_sized(block, size);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

    hak_heap_t *heap_;
};

// memory_resource as an allocator of the standard library, without state and without a site.
template <typename T> class allocator
{
  public:
    using value_type = T;

    allocator() noexcept = default;
    template <typename U> allocator(const allocator<U> &) noexcept {}

    T *allocate(std::size_t count)
    {
        if (count > std::numeric_limits<std::size_t>::max() / sizeof(T))
            throw std::bad_array_new_length{};
        return static_cast<T *>(detail::allocate(count * sizeof(T), alignof(T), 0));
    }

    void deallocate(T *block, std::size_t count) noexcept { hak_free_sized(block, count * sizeof(T)); }
};

template <typename T, typename U> bool operator==(const allocator<T> &, const allocator<U> &) noexcept { return true; }
template <typename T, typename U> bool operator!=(const allocator<T> &, const allocator<U> &) noexcept { return false; }

} // namespace hakmem

#endif
