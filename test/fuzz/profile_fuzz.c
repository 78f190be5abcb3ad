/* profile_fuzz.c - whatever a profile says, it is a valid policy, or refused. The bytes come with the checksum that
 * they ought to have, and without.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "policy/profile.h"
#include "profile_seed.h"

enum { END = sizeof "end \n" - 1 + PROFILE_HASH_LETTERS };

/* The line that ends a profile: FNV-1a of what is before it and of the word, the lowest digit first. */
static void end_write(char *text, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    memcpy(text + length, "end ", 4);
    for (size_t i = 0; i < length + 4; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < PROFILE_HASH_LETTERS; i++, hash >>= 4)
        text[length + 4 + i] = "0123456789abcdef"[hash & 15];
    text[length + END - 1] = '\n';
}

/* What was taken is written so that it is taken again, and is the same then. */
static void policy_must_come_back(const struct policy *policy)
{
    static char text[PROFILE_MAX];
    struct policy again;
    size_t length = profile_compose(text, &profile_seed_program, &policy_static, policy);
    FUZZ_MUST(length < PROFILE_MAX);
    FUZZ_MUST(profile_parse(text, length, &profile_seed_program, &policy_static, &again) == NULL);
    FUZZ_MUST(memcmp(&again, policy, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy policy;
    char *text = malloc(size + END);
    memcpy(text, data, size);
    profile_parse(text, size, &profile_seed_program, &policy_static, &policy);
    profile_judge(text, size, &profile_seed_program);
    end_write(text, size);
    if (!profile_parse(text, size + END, &profile_seed_program, &policy_static, &policy)) {
        FUZZ_MUST(policy_is_valid(&policy));
        FUZZ_MUST(profile_judge(text, size + END, &profile_seed_program) != STORE_FOREIGN);
        policy_must_come_back(&policy);
    }
    free(text);
    return 0;
}
