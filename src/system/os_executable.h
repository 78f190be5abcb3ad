/* os_executable.h - the file that runs, and the build ids of such files. */
#ifndef HAK_OS_EXECUTABLE_H
#define HAK_OS_EXECUTABLE_H

#include "base/base.h"

/* The executable's build id in hexadecimal, or another word for the file that runs if it has none. Terminated. */
enum { OS_BUILD_ID_MAX = 80 };
void os_build_id(char out[static OS_BUILD_ID_MAX]);
/* The build id among the notes of an ELF file; false if there is none. */
bool os_build_id_find(const char *notes, size_t size, char out[static OS_BUILD_ID_MAX]);
/* The same in the first `length` bytes of the file. */
bool os_build_id_in_file(const char *file, size_t length, char out[static OS_BUILD_ID_MAX]);
/* The path of the executable file, terminated and perhaps cut off; by another name than that of os_program, which
 * may be a script or a link. */
void os_executable(char *out, size_t capacity);

/* Whether libc's loader has started the program, which is dynamic then. It has opened files. */
bool os_has_loader(void);

#endif
