/* archive.c - in the archive only: asks for the functions that tell of a thread's end. For the shared library, which
 * may be loaded where they are missing, they are weak references, which bring nothing into a program that is linked. */
#include <pthread.h>

__attribute__((used, visibility("hidden"))) void (*const hak_archive_needs[])(void) = {
    (void (*)(void))pthread_key_create,
    (void (*)(void))pthread_setspecific,
};
