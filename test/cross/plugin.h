/* plugin.h - what a program and an object that it opens give each other.
 * SPDX-License-Identifier: MIT */
#ifndef HAKMEM_TEST_PLUGIN_H
#define HAKMEM_TEST_PLUGIN_H

#include <stddef.h>

/* One end of an exchange of blocks. */
struct plugin {
    void *(*make)(size_t size);
    void *(*make_aligned)(size_t size);
    void *(*make_text)(void); /* by the C library, inside */
    void *(*grow)(void *block, size_t size);
    size_t (*usable)(void *block);
    void (*drop)(void *block);
    void *(*object_new)(size_t size);
    void (*object_delete)(void *object);
    const void *(*malloc_bound)(void); /* the malloc that it calls */
};

typedef const struct plugin *(*plugin_get)(void);
extern
#ifdef __cplusplus
    "C"
#endif
    const struct plugin *plugin_end(void);

#endif
