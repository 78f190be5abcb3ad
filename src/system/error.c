#include "system/error.h"

#include "system/image.h"
#include "system/maps.h"
#include "system/os.h"
#include "system/report.h"
#include "system/text.h"

enum { SUBJECT_MAX = 120 };

__thread uintptr_t error_caller __attribute__((tls_model("initial-exec")));

/* "; noticed in a call by <file>+<offset in it> (<exported function>+<offset>)". */
static COLD void text_caller(struct text *text, uintptr_t caller)
{
    struct maps_place place = {.address = caller - 1}; /* in the call, which may be its function's last instruction */
    struct image image;
    size_t offset;
    if (caller == 0)
        return;
    maps_find(&place, 1);
    text_string(text, "; noticed in a call by ");
    text_string(text, place.name[0] ? place.name : "code of no file at ");
    if (place.name[0])
        text_string(text, "+");
    text_hex(text, place.name[0] ? place.offset + 1 : caller);
    const char *name = place.name[0] && image_open(&image, (const void *)place.image)
                           ? image_name_at(&image, place.address, &offset)
                           : NULL;
    if (!name)
        return;
    text_string(text, " (");
    text_string(text, name);
    text_string(text, "+");
    text_hex(text, offset + 1);
    text_string(text, ")");
}

void error_fatal(enum error_id id, const char *call, const void *address, size_t block_size)
{
    os_forbid_calls(false); /* whatever this thread was in the middle of, it is the last */
    static const struct {
        const char *what, *advice;
    } errors[] = {
#define X(id, what, advice) [ERROR_##id] = {what, advice},
#define W(id, what)
#include "system/errors.def"
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
    text_caller(&text, error_caller);
    text_string(&text, "\n");
    text_end(&text);
    os_abort();
}

void error_warn(enum warning_id id, const char *subject, size_t length, const char *nearest)
{
    static const char *const warnings[] = {
#define X(id, what, advice)
#define W(id, what) [WARNING_##id] = what,
#include "system/errors.def"
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
    os_forbid_calls(false);
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
