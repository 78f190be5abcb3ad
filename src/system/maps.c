#include "system/maps.h"

#include "system/lines.h"
#include "system/os_file.h"
#include "system/text.h"

/* `image`: where the beginning of the newest file is mapped; what belongs to it follows. */
static COLD void mapping_look(const struct line_mapping *mapping, uintptr_t image, struct maps_place *places,
                              unsigned count)
{
    size_t length = text_length(mapping->name), kept = min_size(length, MAPS_NAME_MAX);
    for (struct maps_place *place = places; mapping->name[0] == '/' && place < places + count; place++) {
        if (place->address < mapping->start || place->address >= mapping->end)
            continue;
        place->offset = place->address - mapping->start + mapping->offset;
        place->image = image;
        place->start = mapping->start;
        place->end = mapping->end;
        __builtin_memcpy(place->name, mapping->name + length - kept, kept + 1);
    }
}

COLD void maps_find(struct maps_place *places, unsigned count)
{
    struct lines lines = {.at = 0};
    uintptr_t image = 0;
    for (unsigned i = 0; i < count; i++)
        places[i].name[0] = '\0';
    lines.fd = os_open("/proc/self/maps");
    if (lines.fd < 0)
        return;
    while (lines_next(&lines)) {
        struct line_mapping mapping = line_mapping(lines.line);
        if (mapping.offset == 0)
            image = mapping.start;
        mapping_look(&mapping, image, places, count);
    }
    os_close(lines.fd);
}
