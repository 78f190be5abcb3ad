/* image_test.c - symbols of images in memory: the kernel's, this program's and libc's; and of images that lie about
 * themselves.
 * SPDX-License-Identifier: MIT */
#include "unit.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "system/image.h"
#include "system/os_map.h"

static const void *image_of(const void *function)
{
    Dl_info info;
    must(dladdr(function, &info) != 0, "the loader knows no image of %p", function);
    return info.dli_fbase;
}

static void test_libc(void **state)
{
    (void)state;
    struct image image;
    size_t offset = 1;
    const void *function = dlsym(RTLD_DEFAULT, "l64a");
    assert_true(image_open(&image, image_of(function)));
    assert_true(image.count > 1000);
    assert_ptr_equal(image_find(&image, "l64a"), function);
    assert_null(image_find(&image, "no such function"));
    assert_string_equal(image_name_at(&image, (uintptr_t)function, &offset), "l64a");
    assert_int_equal(offset, 0);
    assert_non_null(image_name_at(&image, (uintptr_t)function + 3, &offset));
    assert_int_equal(offset, 3);
    assert_null(image_name_at(&image, (uintptr_t)&image, &offset));
}

static void test_frames(void **state)
{
    (void)state;
    struct image_frames frames;
    char text[sizeof(ElfW(Ehdr))] = "#!/bin/sh";
    uintptr_t here = (uintptr_t)test_frames;
    assert_true(image_find_frames(image_of((const void *)here), &frames));
    assert_in_range(here, frames.start, frames.end);
    assert_true(frames.segment <= frames.header && frames.header < frames.segment_end);
    assert_int_equal(frames.header[0], 1); /* .eh_frame_hdr's version */
    assert_false(image_find_frames(NULL, &frames));
    assert_false(image_find_frames(text, &frames));
}

static void test_vdso(void **state)
{
    (void)state;
    struct image image;
    const void *start = (const void *)getauxval(AT_SYSINFO_EHDR);
    if (!start) {
        skip_because("the kernel has no code in this process");
        skip();
    }
    assert_true(image_open(&image, start));
    assert_true(image_find(&image, "__vdso_clock_gettime") || image_find(&image, "__kernel_clock_gettime"));
}

static void test_no_image(void **state)
{
    (void)state;
    struct image image;
    char text[sizeof(ElfW(Ehdr))] = "#!/bin/sh";
    assert_false(image_open(&image, NULL));
    assert_false(image_open(&image, text));
}

/* A copy of the kernel's image between pages that cannot be read, with each word behind its headers changed in turn:
 * nothing is read outside. */
static void test_hostile_images(void **state)
{
    (void)state;
    const char *start = (const char *)getauxval(AT_SYSINFO_EHDR);
    size_t size = 8192, page = os_page_size();
    if (!start || page != 4096) {
        skip_because("no image of a known size");
        skip();
    }
    char *copy = mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(copy != MAP_FAILED && mprotect(copy + page, size, PROT_READ | PROT_WRITE) == 0);
    copy += page;
    static const uint32_t values[] = {0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 4096, 8191};
    unsigned opened = 0;
    const ElfW(Ehdr) *head = (const ElfW(Ehdr) *)start;
    for (size_t at = head->e_phoff + head->e_phnum * sizeof(ElfW(Phdr)); at < size; at += sizeof values[0])
        for (size_t v = 0; v < COUNT_OF(values); v++) {
            struct image image;
            size_t offset;
            memcpy(copy, start, size);
            memcpy(copy + at, &values[v], sizeof values[v]);
            if (!image_open(&image, copy))
                continue;
            opened++;
            image_find(&image, "no such function");
            image_name_at(&image, (uintptr_t)copy + at, &offset);
        }
    assert_true(opened > 0);
    munmap(copy - page, size + 2 * page);
}

/* By GNU's hash table: of the names only the one that is found is looked at. */
static void test_other_names_are_not_read(void **state)
{
    (void)state;
    struct image image;
    size_t offset, page = os_page_size();
    const void *function = dlsym(RTLD_DEFAULT, "l64a");
    assert_true(image_open(&image, image_of(function)));
    if (!image.gnu_hash || image.names_size <= 2 * page) {
        skip_because("libc has no such table here, or its names are few pages");
        skip();
    }
    size_t at = (size_t)(image_name_at(&image, (uintptr_t)function, &offset) - image.names) / page * page;
    size_t size = (image.names_size + page - 1) / page * page;
    char *names = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(names != MAP_FAILED);
    memcpy(names, image.names, image.names_size);
    assert_int_equal(mprotect(names, size, PROT_NONE), 0);
    assert_int_equal(mprotect(names + at, min_size(2 * page, size - at), PROT_READ), 0);
    image.names = names;
    assert_ptr_equal(image_find(&image, "l64a"), function);
    munmap(names, size);
}

/* A chain that has no end ends where the image does, whatever the other hash table says of how many symbols there
 * are. */
static void test_chain_without_end(void **state)
{
    (void)state;
    enum { SYMBOLS = 100 };
    static ElfW(Sym) symbols[SYMBOLS];
    size_t page = os_page_size();
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED && mprotect(memory + page, page, PROT_NONE) == 0);
    const uint32_t table[] = {1 /* bucket */, 0 /* the first symbol */, 0, 0, 0 /* the bucket */, 2 /* chain */};
    void *hash = memcpy(memory + page - sizeof table, table, sizeof table);
    struct image image = {.start = (uintptr_t)memory, .end = (uintptr_t)memory + page, .symbols = symbols, .names = "",
                          .names_size = 1, .count = SYMBOLS, .gnu_hash = hash};
    assert_null(image_find(&image, "l64a"));
    munmap(memory, 2 * page);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libc),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_vdso),
        cmocka_unit_test(test_no_image),
        cmocka_unit_test(test_hostile_images),
        cmocka_unit_test(test_other_names_are_not_read),
        cmocka_unit_test(test_chain_without_end),
    };
    return RUN_TESTS(tests);
}
