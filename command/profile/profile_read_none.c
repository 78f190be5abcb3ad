/* profile_read_none.c - in place of profile_read.c where the command is built without jansson.
 * SPDX-License-Identifier: MIT */
#include "profile/profile.h"

#include "read/source.h"

struct profile *profile_read(const char *path, char **reason)
{
    *reason = text_make("'%s' cannot be read: this hakmem was built without jansson, which reads profiles", path);
    return NULL;
}
