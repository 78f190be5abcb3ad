// The library of own_malloc.cpp: it takes blocks by every way that malloc's heirs offer, and gives them back.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

struct Wide {
    alignas(64) char bytes[128];
};

size_t library_work(int rounds)
{
    std::map<std::string, std::vector<int>> table;
    size_t sum = 0;
    for (int i = 0; i < rounds; i++) {
        table[std::to_string(i % 500)].push_back(i);
        void *array = reallocarray(nullptr, 3, i % 50 + 1);
        array = realloc(array, 300);
        free(array);
        char *copy = strndup("a copy of this text", i % 19);
        sum += strlen(copy);
        free(copy);
        std::shared_ptr<Wide> wide(new Wide);
        sum += reinterpret_cast<size_t>(wide->bytes) % 64;
        delete new (std::nothrow) long(i);
        if (char *path = realpath("/", nullptr)) {
            sum += strlen(path);
            free(path);
        }
    }
    char *line = nullptr;
    if (asprintf(&line, "%zu names", table.size()) > 0)
        sum += strlen(line);
    free(line);
    return sum;
}
