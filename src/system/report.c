#include "system/report.h"

enum { STDERR = 2 };

struct report report_stderr = {.fd = -1, .own = -1};

void report_open(struct report *report, int fd)
{
    if (report->is_open)
        return;
    *report = (struct report){.fd = fd, .own = -1, .file = os_file_id(fd), .is_open = true};
}

void report_start(void) { report_open(&report_stderr, STDERR); }

COLD void report_keep(struct report *report)
{
    if (os_is_file(report->fd, report->file))
        report->own = os_duplicate(report->fd);
}

COLD int report_fd(const struct report *report)
{
    if (os_is_file(report->own, report->file))
        return report->own;
    return os_is_file(report->fd, report->file) ? report->fd : -1;
}

COLD int report_fatal_fd(void)
{
    report_start();
    return os_is_file(STDERR, report_stderr.file) || os_is_log(STDERR) ? STDERR : report_fd(&report_stderr);
}
