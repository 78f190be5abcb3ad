/* A library for LD_AUDIT that writes the name of each loaded object to the file $AUDIT_FILE, and allocates meanwhile:
 * it has a namespace, and so a libc, of its own.
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned int la_version(unsigned int version)
{
    return version;
}

unsigned int la_objopen(struct link_map *map, Lmid_t namespace, uintptr_t *cookie)
{
    (void)namespace, (void)cookie;
    char *name = strdup(map->l_name);
    FILE *file = fopen(getenv("AUDIT_FILE"), "a");
    if (file != NULL) {
        fprintf(file, "%s\n", name);
        fclose(file);
    }
    free(name);
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}
