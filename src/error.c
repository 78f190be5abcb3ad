#include "error.h"

#include "os.h"
#include "report.h"
#include "text.h"

enum { SUBJECT_MAX = 120 };

void error_fatal(enum error_id id, const char *call, const void *address, size_t block_size)
{
    static const struct {
        const char *what, *advice;
    } errors[] = {
#define X(id, what, advice) [ERROR_##id] = {what, advice},
#define W(id, what)
#include "errors.def"
#undef X
#undef W
    };
    struct text text;
    text_begin(&text, report_fatal_fd());
    text_string(&text, "hakmem: fatal: ");
    text_string(&text, call);
    text_string(&text, "(");
    text_hex(&text, (uintptr_t)address);
    text_string(&text, "): ");
    text_string(&text, errors[id].what);
    if (block_size > 0) {
        text_string(&text, ", size class ");
        text_decimal(&text, block_size);
        text_string(&text, " B");
    }
    text_string(&text, "; ");
    text_string(&text, errors[id].advice);
    text_string(&text, "\n");
    text_end(&text);
    os_abort();
}

void error_warn(enum warning_id id, const char *subject, size_t length, const char *nearest)
{
    static const char *const warnings[] = {
#define X(id, what, advice)
#define W(id, what) [WARNING_##id] = what,
#include "errors.def"
#undef X
#undef W
    };
    struct text text;
    text_begin(&text, report_fd(&report_stderr));
    text_string(&text, "hakmem: warning: ");
    text_span(&text, subject, min_size(length, SUBJECT_MAX));
    text_string(&text, ": ");
    text_string(&text, warnings[id]);
    text_string(&text, nearest);
    text_string(&text, "\n");
    text_end(&text);
}

void error_assert(const char *condition, const char *file, int line)
{
    struct text text;
    text_begin(&text, report_fatal_fd());
    text_string(&text, "hakmem: assertion failed: ");
    text_string(&text, condition);
    text_string(&text, " at ");
    text_string(&text, file);
    text_string(&text, ":");
    text_decimal(&text, (uint64_t)line);
    text_string(&text, "\n");
    text_end(&text);
    os_abort();
}
