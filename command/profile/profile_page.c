/* profile_page.c - a profile as a page for a browser, which needs nothing else: flame.html with the profile inside.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "profile/profile.h"

#include <string.h>

static const char page[] = {
#include "flame_page.inc"
    0};

/* Where in the page the profile, and the name of what is shown first, go. */
static const char profile_mark[] = "/*PROFILE*/", value_mark[] = "/*VALUE*/";

bool profile_write_page(const struct profile *profile, const struct profile_wish *wish, FILE *to)
{
    const char *value_place = strstr(page, value_mark), *profile_place = strstr(page, profile_mark);
    fwrite(page, 1, (size_t)(value_place - page), to);
    fputs(profile_value_rows[wish->value].name, to);
    value_place += strlen(value_mark);
    fwrite(value_place, 1, (size_t)(profile_place - value_place), to);
    profile_write_json(profile, wish, to);
    fputs(profile_place + strlen(profile_mark), to);
    return true;
}
