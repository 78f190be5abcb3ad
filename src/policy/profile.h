/* profile.h - HAKMEM_PROFILE: the policy that was learned, kept in a file from one run of a program to the next.
 *
 * A few lines of text: the format, the program and its build id, what differs from the policy without learning, and
 * a checksum. A file that is damaged or another program's is ignored, with one line on stderr; every value is
 * checked again. Where the program was built anew since, or hakmem has another format by now, the file is of no use
 * and is replaced at the end. Where it lies and what may be replaced at all is store.h's. */
#ifndef HAK_PROFILE_H
#define HAK_PROFILE_H

#include "system/os_executable.h"
#include "policy/policy.h"
#include "system/store.h"

enum { PROFILE_MAX = STORE_TEXT_MAX, PROFILE_NAME_MAX = 64, PROFILE_HASH_LETTERS = 16 };

/* Whose profile it is. */
struct profile_program {
    char name[PROFILE_NAME_MAX + 1];
    char place[PROFILE_HASH_LETTERS + 1]; /* stands for its path: two builds in the same place are not there at once */
    char build[OS_BUILD_ID_MAX];
};

/* The program that runs. */
void profile_program_find(struct profile_program *out);

/* The text for a policy, in `text` (room for PROFILE_MAX); its length. */
size_t profile_compose(char *text, const struct profile_program *program, const struct policy *base,
                       const struct policy *policy);

/* The policy that the text stands for, on top of `base`: NULL, or what is wrong with it. */
const char *profile_parse(const char *text, size_t length, const struct profile_program *program,
                          const struct policy *base, struct policy *out);

/* What the text is to the program. */
enum store_verdict profile_judge(const char *text, size_t length, const struct profile_program *program);

/* Loads the file that the option names, if there is one, and makes it the policy. At the start, under the lock. */
void profile_load(void);

/* Saves what was learned, if anything was. At the end. */
void profile_save(void);

#endif
