/* found.c - what finder.c finds.
 * SPDX-License-Identifier: MIT */
int found(void);
int found(void) { return 42; }
