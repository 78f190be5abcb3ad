/* perfmap_fuzz.c - whatever stands in a file of names that a process has written, it is read without harm.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "names/perfmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_MUST(text);
    memcpy(text, data, size);
    text[size] = '\0';
    struct perfmap *map = perfmap_of_text(text);
    FUZZ_MUST(map);
    size_t most = size + sizeof "(anonymous)";
    for (uint64_t address = 1; address != 0; address <<= 4) {
        const struct perfmap_function *found = perfmap_find(map, address);
        FUZZ_MUST(!found || (strlen(found->name) < most && (!found->file || strlen(found->file) < size)));
        FUZZ_MUST(!found || (address >= found->start && address < found->end));
    }
    perfmap_close(map);
    return 0;
}
