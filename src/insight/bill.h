/* bill.h - where the resident memory of the process is, in at most twelve lines of 80 columns: items that add up to
 * what the kernel reports. */
#ifndef HAK_BILL_H
#define HAK_BILL_H

#include "base/base.h"

/* The bill, and with `all` every statistic below it (stats.h). Allocates nothing. */
void bill_print(int fd, bool all);

#endif
