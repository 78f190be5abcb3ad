/* own_library.cpp - a shared library that allocates by every name and frees by every name that fits. What is derived
 * from malloc must be a block of the program's, and all of these must be back in the end; see own_program.cpp.
 * SPDX-License-Identifier: MIT */
#include "support.h"

#include "own.h"

#include <dirent.h>
#include <errno.h>
#include <iconv.h>
#include <locale.h>
#include <malloc.h>
#include <netdb.h>
#include <new>
#include <pthread.h>
#include <pwd.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <unistd.h>
#include <vector>

/* Weak: this libc does not have them. */
extern "C" {
__attribute__((weak)) void cfree(void *block);
__attribute__((weak)) void free_sized(void *block, size_t size);
__attribute__((weak)) void free_aligned_sized(void *block, size_t align, size_t size);
}

static unsigned g_has;

/* Both ends of a test: a block must be the program's while it is live, and none may be left. */
static long g_before;
static void begin(void) { g_before = own_live(); }
static void end(const char *what)
{
    must(own_live() == g_before, "%s: %ld blocks of the program's did not come back", what, own_live() - g_before);
}
static void *must_be_own(void *block, const char *what)
{
    must(block != nullptr && own_has(block), "%s: %p is not the program's", what, block);
    return hidden(block);
}

/* ---- C ----------------------------------------------------------------------------------------------------------- */

static void use_frees(void)
{
    begin();
    cfree(must_be_own(malloc(100), "malloc"));
    free_sized(must_be_own(malloc(100), "malloc"), 100);
    free_aligned_sized(must_be_own(aligned_alloc(16, 96), "aligned_alloc of 16"), 16, 96);
    free_aligned_sized(hidden(aligned_alloc(64, 128)), 64, 128);
    free_aligned_sized(hidden(aligned_alloc(65536, 65536)), 65536, 65536);
    cfree(nullptr), free_sized(nullptr, 0), free_aligned_sized(nullptr, 64, 0);
    free(must_be_own(strdup("a text that is longer than any register"), "strdup"));
    end("free, by its other names");
}

static void use_calloc(void)
{
    begin();
    for (size_t size = 1; size < 3 * MIB; size = size * 3 + 1) {
        void *block = must_be_own(calloc(1, size), "calloc");
        must(bytes_check(block, size, 0) == size, "calloc of %zu: not zero", size);
        free(block);
    }
    errno = 0;
    must(calloc(hidden_size(SIZE_MAX / 2), 3) == nullptr || (g_has & OWN_HAS_SET),
         "calloc: an overflow was overlooked");
    end("calloc");
}

static void use_realloc(void)
{
    begin();
    free(must_be_own(realloc(nullptr, 100), "realloc of NULL"));
    free(must_be_own(reallocarray(nullptr, 10, 10), "reallocarray of NULL"));
    if (g_has & (OWN_HAS_SET | OWN_HAS_USABLE)) {
        void *block = malloc(100);
        pattern_fill(block, 100, 7);
        block = must_be_own(reallocarray(block, 100, 50), "reallocarray");
        must(pattern_check(block, 100, 7) == 100, "reallocarray lost what was in the block");
        block = must_be_own(realloc(block, 50), "realloc");
        must(pattern_check(block, 50, 7) == 50, "realloc lost what was in the block");
        free(block);
    }
    end("realloc");
}

static void use_aligned(void)
{
    begin();
    void *blocks[5];
    blocks[0] = aligned_alloc(256, 512), blocks[1] = memalign(256, 300), blocks[2] = valloc(100),
    blocks[3] = pvalloc(100);
    must(posix_memalign(&blocks[4], 256, 300) == 0, "posix_memalign failed");
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        must(blocks[i] != nullptr && (uintptr_t)blocks[i] % 256 == 0, "aligned block %zu: %p", i, blocks[i]);
        must(own_has(blocks[i]) == ((g_has & OWN_HAS_ALIGNED) != 0), "aligned block %zu is of the wrong heap", i);
        if (own_has(blocks[i])) /* else the program's free does not know it, whatever malloc there is */
            free(blocks[i]);
    }
    end("aligned memory");
}

static void use_usable(void)
{
    begin();
    void *block = malloc(100);
    size_t usable = malloc_usable_size(block);
    must((g_has & OWN_HAS_USABLE) ? usable >= 100 : usable == 0, "malloc_usable_size: saw %zu", usable);
    must(malloc_usable_size(nullptr) == 0, "malloc_usable_size of NULL is not 0");
    free(block);
    end("malloc_usable_size");
}

/* ---- C++ --------------------------------------------------------------------------------------------------------- */

static void use_operators(void)
{
    begin();
    const size_t sizes[] = {0, 1, 100, 5000, 100000, 3 * MIB};
    for (size_t size : sizes) {
        ::operator delete(must_be_own(::operator new(size), "new"));
        ::operator delete(must_be_own(::operator new(size), "new"), size);
        ::operator delete(must_be_own(::operator new(size, std::nothrow), "new, nothrow"), std::nothrow);
        ::operator delete[](must_be_own(::operator new[](size), "new[]"));
        ::operator delete[](must_be_own(::operator new[](size), "new[]"), size);
        ::operator delete[](must_be_own(::operator new[](size, std::nothrow), "new[], nothrow"), std::nothrow);
    }
    ::operator delete(nullptr), ::operator delete[](nullptr, 8);
    end("operators");
}

static void use_aligned_operators(void)
{
    begin();
    for (size_t bytes = 1; bytes <= 65536; bytes *= 4) {
        auto align = std::align_val_t{bytes};
        ::operator delete(hidden(::operator new(100, align)), align);
        ::operator delete(hidden(::operator new(100, align)), 100, align);
        ::operator delete(hidden(::operator new(100, align, std::nothrow)), align, std::nothrow);
        ::operator delete[](hidden(::operator new[](100, align)), align);
        ::operator delete[](hidden(::operator new[](100, align)), 100, align);
        ::operator delete[](hidden(::operator new[](100, align, std::nothrow)), align, std::nothrow);
    }
    must(::operator new(hidden_size(SIZE_MAX - 8), std::align_val_t{64}, std::nothrow) == nullptr,
         "aligned new: a size that rounds up to 0 was served");
    end("aligned operators");
}

static void use_containers(void)
{
    begin();
    {
        std::vector<std::string> all;
        for (int i = 0; i < 1000; i++)
            all.push_back("a text that is too long to be stored inside " + std::to_string(i));
    }
    end("std::vector and std::string");
}

/* ---- What libc allocates inside ---------------------------------------------------------------------------------- */

static int greater(const void *a, const void *b) { return *(const int *)a < *(const int *)b; }

static void use_streams(void)
{
    char *text = nullptr, *line = nullptr;
    size_t size = 0, room = 0;
    FILE *stream = open_memstream(&text, &size);
    for (int i = 0; i < 5000; i++)
        fprintf(stream, "line %d\n", i);
    fclose(stream);
    must_be_own(text, "open_memstream");
    stream = fmemopen(text, size, "r");
    while (getline(&line, &room, stream) > 0)
        must_be_own(line, "getline");
    fclose(stream);
    free(line), free(text);
    must(asprintf(&text, "%*d", 20000, 1) == 20000 && own_has(text), "asprintf: %p is not the program's", (void *)text);
    free(text);
}

static void use_searches(void)
{
    regex_t expression;
    for (int i = 0; i < 20; i++) {
        must(regcomp(&expression, "^(a|b)*[[:digit:]]+(foo|bar){2,5}$", REG_EXTENDED) == 0, "regcomp failed");
        must(regexec(&expression, "abab12foobar", 0, nullptr, 0) == 0, "regexec found nothing");
        regfree(&expression);
    }
    struct dirent **entries;
    int count = scandir("/", &entries, nullptr, alphasort);
    must(count > 0, "scandir failed");
    while (count > 0)
        free(entries[--count]);
    free(entries);
    std::vector<int> numbers(300000);
    for (size_t i = 0; i < numbers.size(); i++)
        numbers[i] = (int)(i * 7919 % 300007);
    qsort(numbers.data(), numbers.size(), sizeof(int), greater);
    free(must_be_own(realpath("/proc/self/exe", nullptr), "realpath"));
    free(must_be_own(getcwd(nullptr, 0), "getcwd"));
}

static void use_modules(void)
{
    iconv_t converter = iconv_open("UTF-16", "ISO-8859-15");
    if (converter != (iconv_t)-1)
        iconv_close(converter);
    must(getpwuid(getuid()) != nullptr || errno == 0 || errno == ENOENT, "getpwuid failed: %s", strerror(errno));
    struct addrinfo *addresses = nullptr;
    if (getaddrinfo("127.0.0.1", "80", nullptr, &addresses) == 0)
        freeaddrinfo(addresses);
    setlocale(LC_ALL, "C.UTF-8");
}

struct leaver {
    void *block = malloc(100);
    ~leaver() { free(block); }
};

static void *thread_body(void *)
{
    static thread_local leaver leaves;
    must_be_own(leaves.block, "malloc of a thread");
    return strdup("what a thread returns to who joins it");
}

static void use_threads(void)
{
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        void *text;
        must(pthread_create(&thread, nullptr, thread_body, nullptr) == 0, "pthread_create failed");
        must(pthread_join(thread, &text) == 0, "pthread_join failed");
        free(must_be_own(text, "strdup of a thread"));
    }
}

void library_use_all(unsigned has)
{
    g_has = has;
    use_frees(), use_calloc(), use_realloc(), use_aligned(), use_usable();
    use_operators(), use_aligned_operators(), use_containers();
    use_threads();
    if (has & (OWN_HAS_SET | OWN_HAS_USABLE)) /* these call realloc for blocks of malloc */
        use_modules(), use_streams(), use_searches();
}
