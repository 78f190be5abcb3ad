/* os_advise.h - the memory behind addresses: it is given back, wanted at once, in huge pages, or not after a fork. */
#ifndef HAK_OS_ADVISE_H
#define HAK_OS_ADVISE_H

#include "base/base.h"

/* Frees the physical memory behind a range that stays mapped and that nobody else uses. On success, and only then,
 * it reads as zero afterwards: the first one is looked at, and where the system does nothing but say yes, none
 * succeeds. */
int os_purge(void *address, size_t size);

/* The same for several ranges, which do not overlap, in one call where the system can do that for the process itself
 * (Linux 6.15). Up to 33 pages of memory are flushed from the TLB one by one, by an instruction that costs microseconds
 * where a host intercepts it; for more, or for ranges that lie farther apart (Linux 6.16), all of it is flushed at
 * once. Returns a bit for each range that was purged. */
enum { OS_RANGES_MAX = 32 }; /* bits of a uint32_t */
struct os_range {
    void *start;
    size_t size; /* may be 0 */
};
uint32_t os_purge_all(const struct os_range *ranges, unsigned count);

/* Makes a range resident and writable, as if each page of it were written to; what it contains stays. EINVAL where the
 * system does not know how (Linux before 5.14). */
int os_populate(void *address, size_t size);

/* Whether huge pages are to stand behind a range, if the system has any: when its memory is touched, and when the
 * system finds the time later. ENOMEM when the process has too many mappings. */
int os_prefer_huge(void *address, size_t size, bool huge);

/* Memory of one page that reads as zero in the child of a fork, whatever was written to it before. */
int os_map_wiped_on_fork(void **out);

#endif
