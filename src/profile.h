/* profile.h - HAKMEM_PROFILE: the policy that was learned, kept in a file from one run of a program to the next.
 *
 * A few lines of text: the format, the program's build id, what differs from the policy without learning, and a
 * checksum. A file of another program or build, of another format, or damaged is ignored, with one line on stderr;
 * every value is checked again. It is replaced as a whole, so a reader never sees half of one, and a disk that is
 * full leaves the old one. */
#ifndef HAK_PROFILE_H
#define HAK_PROFILE_H

#include "policy.h"

enum { PROFILE_MAX = 16 << 10 };

/* The text for a policy, in `text` (room for PROFILE_MAX); its length. */
size_t profile_compose(char *text, const char *build_id, const struct policy *base, const struct policy *policy);

/* The policy that the text stands for, on top of `base`: NULL, or what is wrong with it. */
const char *profile_parse(const char *text, size_t length, const char *build_id, const struct policy *base,
                          struct policy *out);

/* Loads the file that the option names, if there is one, and makes it the policy. At the start, under the lock. */
void profile_load(void);

/* Saves what was learned, if anything was. At the end. */
void profile_save(void);

#endif
