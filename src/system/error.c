#include "system/error.h"

#include "system/image.h"
#include "system/maps.h"
#include "system/os_call.h"
#include "system/os_signal.h"
#include "system/report.h"
#include "system/text.h"

enum { SUBJECT_MAX = 120 };

__thread uintptr_t error_caller __attribute__((tls_model("initial-exec")));

/* "<file>+<offset in it> (<exported function>+<offset>)", of an address that is `behind` the one that was looked up. */
static COLD void text_place(struct text *text, const struct maps_place *place, unsigned behind)
{
    struct image image;
    size_t offset;
    text_string(text, place->name[0] ? place->name : "code of no file at ");
    if (place->name[0])
        text_string(text, "+");
    text_hex(text, (place->name[0] ? place->offset : place->address) + behind);
    const char *name = place->name[0] && image_open(&image, (const void *)place->image)
                           ? image_name_at(&image, place->address, &offset)
                           : NULL;
    if (!name)
        return;
    text_string(text, " (");
    text_string(text, name);
    text_string(text, "+");
    text_hex(text, offset + behind);
    text_string(text, ")");
}

/* "; noticed in a call by ..." */
static COLD void text_caller(struct text *text, uintptr_t caller)
{
    struct maps_place place = {.address = caller - 1}; /* in the call, which may be its function's last instruction */
    if (caller == 0)
        return;
    maps_find(&place, 1);
    text_string(text, "; noticed in a call by ");
    text_place(text, &place, 1);
}

/* A line for each frame. Few at a time: who overflows a stack may have little of it. */
static COLD void text_frames(struct text *text, const struct error_stack *stack)
{
    enum { AT_ONCE = 4 };
    struct maps_place places[AT_ONCE];
    for (unsigned first = 0; first < stack->depth; first += AT_ONCE) {
        unsigned count = (unsigned)min_size(AT_ONCE, stack->depth - first);
        for (unsigned i = 0; i < count; i++)
            places[i].address = stack->frames[first + i] - !(stack->is_exact && first + i == 0);
        maps_find(places, count);
        for (unsigned i = 0; i < count; i++) {
            text_string(text, "hakmem:     ");
            text_place(text, &places[i], !(stack->is_exact && first + i == 0));
            text_string(text, "\n");
        }
    }
}

/* "allocated 5 ms ago by thread 4711:" and its frames. */
static COLD void text_stack(struct text *text, const struct error_stack *stack)
{
    text_string(text, "hakmem:   ");
    text_string(text, stack->what);
    if (stack->ago > 0) {
        text_string(text, " ");
        text_decimal(text, stack->ago);
        text_string(text, " ms ago");
    }
    if (stack->thread != 0) {
        text_string(text, " by thread ");
        text_decimal(text, stack->thread);
    }
    text_string(text, stack->depth > 0 ? ":\n" : ", by whom is not known\n");
    text_frames(text, stack);
}

/* The line, up to what differs. */
static COLD void text_error(struct text *text, enum error_id id, const char *call, const void *address,
                            size_t block_size)
{
    static const struct {
        const char *what, *advice;
    } errors[] = {
#define X(id, what, advice) [ERROR_##id] = {what, advice},
#define W(id, what)
#include "system/errors.def"
#undef X
#undef W
    };
    text_string(text, "hakmem: fatal: ");
    text_string(text, call);
    text_string(text, "(");
    text_hex(text, (uintptr_t)address);
    text_string(text, "): ");
    text_string(text, errors[id].what);
    if (block_size > 0) {
        text_string(text, ", size class ");
        text_decimal(text, block_size);
        text_string(text, " B");
    }
    text_string(text, "; ");
    text_string(text, errors[id].advice);
}

void error_fatal_stacks(enum error_id id, const char *call, const void *address, size_t block_size,
                        const struct error_stack *stacks, unsigned count)
{
    struct text text;
    os_forbid_calls(false); /* whatever this thread was in the middle of, it is the last */
    text_begin(&text, report_fatal_fd());
    text_error(&text, id, call, address, block_size);
    text_caller(&text, error_caller);
    text_string(&text, "\n");
    for (unsigned i = 0; i < count; i++)
        text_stack(&text, &stacks[i]);
    text_end(&text);
    os_abort();
}

void error_fatal(enum error_id id, const char *call, const void *address, size_t block_size)
{
    error_fatal_stacks(id, call, address, block_size, NULL, 0);
}

void error_tell_access(enum error_id id, const void *address, size_t block_size, const struct error_stack *stacks,
                       unsigned count)
{
    struct text text;
    os_forbid_calls(false);
    text_begin(&text, report_fatal_fd());
    text_error(&text, id, "access", address, block_size);
    text_string(&text, "\n");
    for (unsigned i = 0; i < count; i++)
        text_stack(&text, &stacks[i]);
    text_end(&text);
}

void error_warning_begin(struct text *text, const char *place, unsigned line)
{
    text_begin(text, report_fd(&report_stderr));
    text_string(text, "hakmem: warning: ");
    if (!place)
        return;
    text_string(text, place);
    if (line > 0) {
        text_string(text, ":");
        text_decimal(text, line);
    }
    text_string(text, ": ");
}

void error_warning_tell(struct text *text, enum warning_id id, const char *subject, size_t length)
{
    static const char *const warnings[] = {
#define X(id, what, advice)
#define W(id, what) [WARNING_##id] = what,
#include "system/errors.def"
#undef X
#undef W
    };
    text_span(text, subject, min_size(length, SUBJECT_MAX));
    text_string(text, ": ");
    text_string(text, warnings[id]);
}

void error_warning_end(struct text *text)
{
    text_string(text, "\n");
    text_end(text);
}

void error_warn(enum warning_id id, const char *subject, size_t length, const char *rest)
{
    struct text text;
    error_warning_begin(&text, NULL, 0);
    error_warning_tell(&text, id, subject, length);
    text_string(&text, rest);
    error_warning_end(&text);
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
