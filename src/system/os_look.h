/* os_look.h - what is resident. To ask takes calls that a filter may make fatal, so it is found out first whether there
 * is one. */
#ifndef HAK_OS_LOOK_H
#define HAK_OS_LOOK_H

#include "system/os_sandbox.h"

/* What is known of filters, after a look if none has been taken. */
enum os_sandbox os_sandbox_now(void);

/* Whether files of /proc and /sys may be read: no filter can have come that the loader was not under, too. */
bool os_may_look(void);

/* Bytes of a range that are resident; 0 where the system does not say. */
size_t os_resident(void *address, size_t size);

/* Bytes that are resident of the whole process; 0 where the system does not say. Opens a file. */
size_t os_process_resident(void);

#endif
