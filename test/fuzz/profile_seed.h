/* profile_seed.h - whose the profiles are that the fuzzer begins with.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_PROFILE_SEED_H
#define HAKMEM_TEST_PROFILE_SEED_H

#include "policy/profile.h"

static const struct profile_program profile_seed_program = {"server", "0123", "abc"};

#endif
