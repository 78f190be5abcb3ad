/* options.h - the settings a user can make, from the environment. The table is options.def. */
#ifndef HAK_OPTIONS_H
#define HAK_OPTIONS_H

#include "base/base.h"

enum option_id {
#define X(id, name, kind, value, min, max, doc) OPTION_##id,
#include "system/options.def"
#undef X
    OPTION_COUNT
};

/* The value in force; defaults until options_read has run. */
extern uint64_t option_values[OPTION_COUNT];
INLINE uint64_t option(enum option_id id) { return option_values[id]; }

/* Set in a SIZE that is a percentage. */
#define OPTION_PERCENT ((uint64_t)1 << 63)

/* Of a LIST, item 0 .. 4. */
INLINE uint64_t option_item(enum option_id id, unsigned index) { return option_values[id] >> index * 12 & 0xFFF; }
/* The text of the one PATH; option() gives its length. */
extern char option_path[256];

enum learn_mode { LEARN_OFF, LEARN_ON, LEARN_FREEZE, LEARN_SHADOW };
enum report_mode { REPORT_OFF, REPORT_ON, REPORT_JSON };

/* How blocks are checked (heap/check.h), by the options CHECK and HARDEN. Written once, before there are other
 * threads. CHECK_WATCHED: hardened, too, but calls are counted, or their sites looked at, so that none of them may
 * take the short ways of cache/harden.h. */
enum check_mode { CHECK_OFF, CHECK_EXACT, CHECK_HARDENED, CHECK_WATCHED };
extern uint8_t check_mode;
INLINE bool check_is_on(void) { return UNLIKELY(check_mode != CHECK_OFF); }
INLINE bool check_is_hardened(void) { return UNLIKELY(check_mode >= CHECK_HARDENED); }
INLINE bool check_is_short(void) { return UNLIKELY(check_mode == CHECK_HARDENED); }

/* Reads HAKMEM_CONF and HAKMEM_* from `environment` (as main's third argument; may be NULL). What is wrong is said
 * in one line each on stderr and otherwise ignored. Called once, before other threads exist. */
void options_read(char *const *environment);

#endif
