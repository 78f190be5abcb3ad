#include "insight/modules.h"

#include "base/atomic.h"
#include "insight/ledger.h"
#include "insight/recorder.h"
#include "system/maps.h"
#include "system/os_executable.h"
#include "system/os_file.h"
#include "system/text.h"

enum {
    MODULES = 128,
    UNKNOWN_MOST = 8 /* addresses that are looked for in one go */
};

static struct record_module *modules; /* NULL: none yet */
static uint32_t module_count, frames_seen;
static _Atomic(bool) is_looking; /* elects one thread, which alone touches the rest; pairs with modules_look's end */

static bool is_in_module(uint64_t address)
{
    for (uint32_t i = 0; i < module_count; i++)
        if (address >= modules[i].start && address < modules[i].end)
            return true;
    return false;
}

/* From the file, since what is mapped may be gone by now. */
static COLD void build_id_read(const char *path, struct record_module *module)
{
    static SPARSE char head[2048]; /* of the file: notes lie near its beginning */
    char id[OS_BUILD_ID_MAX];
    int fd = os_open(path);
    if (fd < 0)
        return;
    size_t length = os_read(fd, head, sizeof head);
    os_close(fd);
    if (os_build_id_in_file(head, length, id) && text_length(id) < sizeof module->build_id)
        __builtin_memcpy(module->build_id, id, text_length(id) + 1);
}

static COLD void module_add(const struct maps_place *place)
{
    if (place->name[0] == '\0' || module_count == MODULES || is_in_module(place->address))
        return;
    struct record_module *module = &modules[module_count++];
    size_t length = text_length(place->name), kept = min_size(length, sizeof module->path - 1);
    module->start = place->start;
    module->end = place->end;
    module->offset = place->offset - (place->address - place->start);
    __builtin_memcpy(module->path, place->name + length - kept, kept + 1);
    build_id_read(place->name, module);
}

/* Frames that came since the last look, and whose files are not known: up to `count`. Code that lies in no file is
 * looked for once. */
static COLD unsigned unknown_take(struct maps_place *places, unsigned count)
{
    unsigned found = 0;
    for (uint64_t address; found < count && (address = ledger_frame(frames_seen)) != 0; frames_seen++)
        if (!is_in_module(address))
            places[found++].address = address;
    return found;
}

static COLD void modules_enter(void)
{
    static SPARSE struct maps_place places[UNKNOWN_MOST];
    if (!modules)
        modules = recorder_add(RECORD_MODULES, MODULES, sizeof *modules);
    if (!modules)
        return;
    for (unsigned count; (count = unknown_take(places, UNKNOWN_MOST)) > 0;) {
        maps_find(places, count);
        for (unsigned i = 0; i < count; i++)
            module_add(&places[i]);
    }
}

COLD void modules_look(void)
{
    bool nobody = false;
    if (!atomic_compare_exchange_strong_explicit(&is_looking, &nobody, true, memory_order_acquire,
                                                 memory_order_relaxed))
        return;
    modules_enter();
    store_release(&is_looking, false); /* pairs with the acquire above */
}

COLD void modules_after_fork(void) { store_relaxed(&is_looking, false); }
