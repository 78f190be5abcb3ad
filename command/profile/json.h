/* json.h - what is written as JSON.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TOOLS_JSON_H
#define HAKMEM_TOOLS_JSON_H

#include <stdio.h>

/* Writes a string, in quotes; also for the inside of a page's <script>. What is no UTF-8 becomes U+FFFD. */
void json_write_text(const char *text, FILE *to);

#endif
