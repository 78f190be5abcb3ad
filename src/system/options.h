/* options.h - the settings a user can make, from the environment and from a file. The table is options.def. */
#ifndef HAK_OPTIONS_H
#define HAK_OPTIONS_H

#include "system/conf.h"
#include "system/error.h"

enum option_id {
#define X(id, name, kind, value, min, max, doc) OPTION_##id,
#include "system/options.def"
#undef X
    OPTION_COUNT
};

/* What is in force where nobody says anything. */
enum {
#define X(id, name, kind, value, min, max, doc) OPTION_DEFAULT_##id = (value),
#include "system/options.def"
#undef X
};

/* The value in force; defaults until options_read has run. */
extern uint64_t option_values[OPTION_COUNT];
INLINE uint64_t option(enum option_id id) { return option_values[id]; }

/* Where the value in force was given. */
struct option_source {
    enum { OPTION_BY_DEFAULT, OPTION_BY_ENVIRONMENT, OPTION_BY_FILE } origin;
    bool is_listed;       /* in HAKMEM_CONF, not in a variable of its own */
    uint16_t line;        /* of the file, as the next */
    struct piece section; /* without a start: before the first */
};
extern struct option_source option_sources[OPTION_COUNT];

/* Set in a SIZE that is a percentage. */
#define OPTION_PERCENT ((uint64_t)1 << 63)

/* Of a LIST, item 0 .. 4. */
INLINE uint64_t option_item(enum option_id id, unsigned index) { return option_values[id] >> index * 12 & 0xFFF; }
/* The text of a PATH; option() gives its length. */
enum { OPTION_PATH_MAX = 255 };
const char *option_path(enum option_id id);

enum learn_mode { LEARN_OFF, LEARN_ON, LEARN_FREEZE, LEARN_SHADOW };
enum huge_mode { HUGE_NEVER, HUGE_ALWAYS, HUGE_LEARN };
enum report_mode { REPORT_OFF, REPORT_ON, REPORT_JSON };
enum stats_mode { STATS_OFF, STATS_ON, STATS_ALL };

/* How blocks are checked (heap/check.h), by the options CHECK and HARDEN. Written once, before there are other
 * threads. CHECK_WATCHED: hardened, too, but calls are counted, or their sites looked at, so that none of them may
 * take the short ways of cache/harden.h. */
enum check_mode { CHECK_OFF, CHECK_EXACT, CHECK_HARDENED, CHECK_WATCHED };
extern uint8_t check_mode;
INLINE bool check_is_on(void) { return UNLIKELY(check_mode != CHECK_OFF); }
INLINE bool check_is_hardened(void) { return UNLIKELY(check_mode >= CHECK_HARDENED); }
INLINE bool check_is_short(void) { return UNLIKELY(check_mode == CHECK_HARDENED); }

/* Reads HAKMEM_CONF and HAKMEM_* from `environment` (as main's third argument; may be NULL: then nothing), and the
 * configuration file. What is wrong is said in one line each on stderr and otherwise ignored. Called once, before other
 * threads exist. In a program that has other rights than its caller, the environment does not count, of the file only
 * what is for all programs and names no file, and nothing is said. */
void options_read(char **environment);

/* Whether this process is one whose statistics are to be printed. The first that reads the option claims it, by its id,
 * which it puts behind the value in its environment ("all@4711"): so children know that they are not meant, and what
 * the process becomes by execve knows that it is. */
bool options_want_stats(void);

/* A configuration file's text, which has to stay where it is, for a program. */
void options_read_text(const char *text, size_t length, const char *program);

/* The file that is read, and an option's name and value as users write them. */
const char *options_file(void);
const char *option_name(enum option_id id);
struct text;
void option_write(struct text *text, enum option_id id);

/* One line about an option in force, under the name that it has where it was given, ending in `rest`. */
void option_warn_set(enum warning_id warning, enum option_id id, const char *rest);

#endif
