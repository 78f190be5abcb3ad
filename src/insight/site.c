#include "insight/site.h"

#include "hakmem.h"
#include "heap/check.h"
#include "heap/large.h"
#include "system/lock.h"
#include "heap/map.h"
#include "system/maps.h"
#include "heap/meta.h"
#include "system/os.h"
#include "heap/page.h"
#include "heap/purge.h"
#include "system/text.h"
#include "cache/thread.h"

enum {
    PLACES = 1024,             /* a power of two */
    PLACE_PROBES = 32,
    SAMPLES = 4096,            /* a power of two */
    SAMPLE_PROBES = 16,
    BLOCKS_PER_SAMPLE = 64,
    ZEROED_STRIDE = 16,        /* zeroed blocks of which one is sampled */
    SUCCESSOR_BYTES = 16 << 10,
    PATIENCE = 4,              /* frees of a class that may come between a sample's end and its successor */
    DIVIDE_BYTES = 4 << 20,    /* what a class has to hold to be divided: less is near in any case */
    OWN_BYTES = 128 << 10,     /* what a place has to hold to have pages of its own */
    OTHERS_BYTES = 32 << 10,   /* what others must hold where only one place has */
    OTHERS_SHARE = 32,         /* or this part of all, if it is more */
    SECOND_THOUGHTS = 4,       /* by how much more a class has to hold to be divided again */
    REVIEW_REFILLS = 32        /* in SITE_REVIEW pops; with fewer, pages do not matter */
};

/* A site and a class of blocks. All counts are of blocks, as estimated from samples. */
struct place {
    _Atomic(uint64_t) key;      /* 0: free; set once */
    _Atomic(uint64_t) taken;    /* that were ever taken */
    _Atomic(uint64_t) live;     /* of samples not yet ended */
    _Atomic(uint64_t) bytes;    /* in these */
    _Atomic(uint64_t) ended;    /* of samples that ended */
    _Atomic(uint64_t) life;     /* their milliseconds, summed */
    _Atomic(uint8_t) group;     /* 0: none of its own. Stored last; pairs release/acquire with place_group */
};

struct sample {
    _Atomic(uintptr_t) block;     /* 0: free; SAMPLE_BUSY while it is written; else the address of a live block */
    _Atomic(uintptr_t) companion; /* a block of the same refill, in a page of the kind that the sample stands for */
    _Atomic(uint64_t) born;       /* milliseconds */
    _Atomic(uint64_t) bytes;      /* of one block */
    _Atomic(uint32_t) weight;     /* blocks that it stands for */
    _Atomic(uint32_t) place;
};
#define SAMPLE_BUSY ((uintptr_t)1)

/* A quarter of a MiB that programs without sites do not have in their address space. */
struct site_tables {
    struct place places[PLACES]; /* place 0: all for which there was no room */
    struct sample samples[SAMPLES];
    /* For reports: all sites, sorted out of places; and for each place, which line is its site's. */
    struct site_use lines[PLACES];
    uint16_t line_of_place[PLACES];
};
struct site_tables *site_tables;
struct site_division site_division;
static _Atomic(uint8_t) others[CLASS_SLOTS];       /* the group of a divided class for places that have none */
static _Atomic(uint32_t) sampled[CLASS_SLOTS];     /* samples ever taken */
static size_t divide_bytes[CLASS_SLOTS];           /* [lock] what each class has to hold; 0: DIVIDE_BYTES */

static uint64_t mix(uint64_t x)
{
    x *= 0x9E3779B97F4A7C15u;
    return x ^ x >> 32;
}

COLD void site_start(void)
{
    void *memory;
    if (!site_tables && os_map(sizeof *site_tables, 1, NULL, &memory) == 0)
        site_tables = memory;
}

/* ---- Places ------------------------------------------------------------------------------------------------------ */

/* The place's number; 0 when it is not known, or there is no room for another. */
static uint32_t place_find(uint64_t key, bool make)
{
    for (uint32_t probe = 0; probe < PLACE_PROBES; probe++) {
        uint32_t number = (uint32_t)(mix(key) + probe) % PLACES;
        _Atomic(uint64_t) *place_key = &site_tables->places[number].key;
        uint64_t seen = load_relaxed(place_key); /* relaxed: a place is all zero when it gets its key */
        if (number == 0)
            continue;
        if (seen == 0 && (!make || cas_seq(place_key, &seen, key)))
            return make ? number : 0;
        if (seen == key)
            return number;
    }
    return 0;
}

static unsigned place_class(const struct place *place) { return load_relaxed(&place->key) & 0xFF; }

static unsigned place_group(uint32_t number) { return load_acquire(&site_tables->places[number].group); }

/* ---- Samples ----------------------------------------------------------------------------------------------------- */

static struct sample *sample_slot(uintptr_t block, unsigned probe)
{
    return &site_tables->samples[(mix(block >> 4) + probe) % SAMPLES];
}

static void sample_begin(void *block, uint32_t place, size_t bytes, uint32_t weight, const void *companion)
{
    for (unsigned probe = 0; probe < SAMPLE_PROBES; probe++) {
        struct sample *sample = sample_slot((uintptr_t)block, probe);
        uintptr_t free = 0;
        if (load_relaxed(&sample->block) != 0 || !cas_acquire(&sample->block, &free, SAMPLE_BUSY))
            continue;
        store_relaxed(&sample->companion, (uintptr_t)companion);
        store_relaxed(&sample->born, os_milliseconds());
        store_relaxed(&sample->bytes, bytes);
        store_relaxed(&sample->weight, weight);
        store_relaxed(&sample->place, place);
        store_release(&sample->block, (uintptr_t)block); /* written; pairs with sample_find */
        fetch_add_relaxed(&site_tables->places[place].taken, weight);
        fetch_add_relaxed(&site_tables->places[place].live, weight);
        fetch_add_relaxed(&site_tables->places[place].bytes, weight * bytes);
        return;
    }
}

static struct sample *sample_find(const void *block)
{
    for (unsigned probe = 0; probe < SAMPLE_PROBES; probe++) {
        struct sample *sample = sample_slot((uintptr_t)block, probe);
        if (load_acquire(&sample->block) == (uintptr_t)block) /* pairs with sample_begin */
            return sample;
    }
    return NULL;
}

/* What its successor is to stand for when the sample in the block has ended; 0 when there is to be none. One that
 * lived shortly or stood for little has none: where blocks come and go, most would be samples. */
static uint32_t sample_end(const void *block)
{
    struct sample *sample = sample_find(block);
    if (!sample)
        return 0;
    struct place *place = &site_tables->places[load_relaxed(&sample->place)];
    uint32_t weight = load_relaxed(&sample->weight);
    uint64_t life = os_milliseconds() - load_relaxed(&sample->born);
    fetch_sub_relaxed(&place->live, weight);
    fetch_sub_relaxed(&place->bytes, weight * load_relaxed(&sample->bytes));
    fetch_add_relaxed(&place->ended, weight);
    fetch_add_relaxed(&place->life, weight * life);
    uint64_t bytes = weight * load_relaxed(&sample->bytes);
    store_release(&sample->block, 0); /* read; pairs with the acquire in sample_begin */
    return life > 0 && bytes >= SUCCESSOR_BYTES ? weight : 0;
}

void site_note(void *block, size_t bytes, uintptr_t site)
{
    sample_begin(block, place_find(site_key(0, site), true), bytes, 1, NULL);
}

void site_forget(void *block) { sample_end(block); }

/* ---- Dividing and joining ---------------------------------------------------------------------------------------- */

static bool is_divided(unsigned c) { return load_relaxed(&site_division.classes) >> c & 1; }

/* Under the lock. */
static void division_change(uint64_t mask)
{
    store_relaxed(&site_division.classes, mask);
    fetch_add_relaxed(&site_division.epoch, 1);
}

/* Gives the place a group if it has none and there is one. Under the lock. */
static void place_set_apart(struct place *place)
{
    if (load_relaxed(&place->group) == 0)
        store_release(&place->group, (uint8_t)group_make(place_class(place))); /* pairs with place_group */
}

/* What the places of a class hold. */
struct holdings {
    size_t all, own;     /* bytes: of all places, of those that have or should have a group */
    unsigned candidates; /* how many should have */
};

static bool deserves_group(const struct place *place)
{
    return load_relaxed(&place->group) != 0 || load_relaxed(&place->bytes) >= OWN_BYTES;
}

static struct holdings class_holdings(unsigned c)
{
    struct holdings sum = {0};
    for (struct place *place = &site_tables->places[1]; place < &site_tables->places[PLACES]; place++) {
        if (load_relaxed(&place->key) == 0 || place_class(place) != c)
            continue;
        size_t bytes = load_relaxed(&place->bytes);
        sum.all += bytes;
        if (deserves_group(place)) {
            sum.own += bytes;
            sum.candidates++;
        }
    }
    return sum;
}

/* Divides the class if that may be of use: several places hold much memory, or one much and others some. */
static void class_decide(unsigned c)
{
    struct holdings sum = class_holdings(c);
    size_t rest = sum.all - sum.own;
    if (!lock_acquire())
        return;
    size_t least = divide_bytes[c] ? divide_bytes[c] : DIVIDE_BYTES;
    bool mixed = sum.candidates >= 2 || (sum.candidates == 1 && rest >= max_size(OTHERS_BYTES, sum.all / OTHERS_SHARE));
    if (is_divided(c) || (mixed && sum.all >= least)) {
        if (load_relaxed(&others[c]) == 0)
            store_relaxed(&others[c], (uint8_t)group_make(c));
        for (struct place *place = &site_tables->places[1]; place < &site_tables->places[PLACES]; place++)
            if (load_relaxed(&place->key) != 0 && place_class(place) == c && deserves_group(place))
                place_set_apart(place);
        if (load_relaxed(&others[c]) != 0)
            division_change(load_relaxed(&site_division.classes) | (uint64_t)1 << c);
    }
    lock_release();
}

static void class_join(unsigned c)
{
    if (!lock_acquire())
        return;
    divide_bytes[c] = SECOND_THOUGHTS * max_size(class_holdings(c).all, max_size(divide_bytes[c], DIVIDE_BYTES));
    division_change(load_relaxed(&site_division.classes) & ~((uint64_t)1 << c));
    lock_release();
}

/* Whether to decide now that the class has had `count` samples: four times in each doubling, and at least every 256. */
static bool decision_is_due(uint32_t count)
{
    uint32_t step = count < 32 ? 8 : (uint32_t)1 << min_size(highest_bit(count) - 2, 8);
    return count % step == 0;
}

/* ---- A thread's part --------------------------------------------------------------------------------------------- */

static struct site_cache *own_make(struct cache *cache)
{
    if (!meta_acquire(META_OTHER, sizeof(struct site_cache)))
        return NULL;
    struct site_cache *own = meta_alloc(META_OTHER, sizeof *own);
    lock_release();
    if (!own)
        return NULL;
    *own = (struct site_cache){.random = cache->id};
    group_open(&own->groups, cache->id);
    store_release(&cache->groups, &own->groups); /* pairs with ring_count of other threads */
    return own;
}

/* NULL when there cannot be one. The caller is in a slow path. */
static struct site_cache *own_of(struct cache *cache)
{
    struct group_cache *groups = load_relaxed(&cache->groups);
    return groups ? (struct site_cache *)groups : own_make(cache);
}

static uint64_t own_random(struct site_cache *own) { return mix(own->random += 0x9E3779B97F4A7C15u); }

/* ---- Taking samples ---------------------------------------------------------------------------------------------- */

/* One of so many refills, of `got` blocks each, is sampled, and stands for the others: at first every one, then one
 * for each BLOCKS_PER_SAMPLE blocks, and fewer the more there have been. */
static unsigned sample_stride(unsigned c, unsigned got)
{
    uint32_t count = load_relaxed(&sampled[c]);
    unsigned fewer = count < 64 ? 1 : count < 256 ? 2 : count < 1024 ? 4 : 8;
    return count < 16 ? 1 : fewer * (unsigned)max_size(1, BLOCKS_PER_SAMPLE / max_size(got, 1));
}

static void *sample_block(struct site_cache *own, unsigned c)
{
    bool zeroed;
    unsigned got;
    if (class_size(c) > CLASS_TABLE_MAX) /* a run is seen when it is freed, and needs no page */
        return large_malloc(class_size(c), BLOCK_ALIGN, 0, &zeroed);
    void *block = group_pop(&own->groups.ring[c]);
    return block ? block : group_refill(&own->groups, c, &got);
}

/* A block in place of `block`, which stands for `weight` blocks of the place; NULL when there is none. */
static COLD void *sample_take(struct site_cache *own, unsigned c, uintptr_t site, const void *block, uint32_t weight)
{
    void *sample = sample_block(own, c);
    if (!sample)
        return NULL;
    sample_begin(sample, place_find(site_key(c, site), true), class_size(c), weight, block);
    uint32_t count = fetch_add_relaxed(&sampled[c], 1) + 1;
    if (class_size(c) <= SITE_SIZE_MAX && decision_is_due(count))
        class_decide(c);
    return sample;
}

static uint64_t ring_refills(const struct cache *cache)
{
    return load_relaxed(&cache->counters.refills_from_pages) + load_relaxed(&cache->counters.refills_from_depot);
}

/* The weight that a sample of a block just allocated has; 0: it is not to be one. */
static uint32_t weight_due(struct cache *cache, struct site_cache *own, unsigned c, bool refilled)
{
    uint32_t weight = own->successor[c];
    own->successor[c] = 0;
    if (!refilled)
        return weight;
    unsigned got = load_relaxed(&cache->ring[c].level) + 1;
    unsigned stride = sample_stride(c, got);
    return own_random(own) % stride == 0 ? got * stride : 0;
}

static void *plain_malloc(unsigned c, size_t size, uintptr_t site)
{
    struct cache *cache = thread_cache();
    uint64_t before = cache ? ring_refills(cache) : 0;
    void *block = ring_malloc(c, size);
    if (!cache || !block || !(cache = cache_enter()))
        return block;
    struct site_cache *own = own_of(cache);
    uint32_t weight = own ? weight_due(cache, own, c, ring_refills(cache) != before) : 0;
    void *sample = weight > 0 ? sample_take(own, c, site, block, weight) : NULL;
    cache_leave(cache);
    if (!sample)
        return block;
    if (check_is_hardened()) { /* it has no mark yet, by which it could be freed */
        page_visit_begin();
        page_return(&block, 1, "free");
        page_visit_end();
    } else {
        hak_free(block);
    }
    return sample;
}

bool site_wants_zeroed(unsigned c)
{
    struct site_cache *own = (struct site_cache *)load_relaxed(&cache_self->groups);
    if (!own || own_random(own) % ZEROED_STRIDE != 0)
        return false;
    own->successor[c] = ZEROED_STRIDE;
    return true;
}

/* ---- Divided classes --------------------------------------------------------------------------------------------- */

static void ways_forget(struct site_cache *own)
{
    uint32_t epoch = load_relaxed(&site_division.epoch);
    if (own->epoch == epoch)
        return;
    for (unsigned i = 0; i < SITE_WAYS; i++)
        own->way[i].key = 0;
    own->epoch = epoch;
}

/* A block of the group, which is `key`'s; refills are counted, and those of the places without a group sampled. */
static void *grouped_malloc(struct site_cache *own, unsigned group, uint64_t key)
{
    unsigned c = group_class(group), got = 0;
    struct group_ring *ring = &own->groups.ring[group];
    void *block = group_pop(ring);
    *site_way_of(own, key) = (struct site_way){key, ring};
    own->pops[c]++;
    if (block)
        return block;
    block = group_refill(&own->groups, group, &got);
    own->refills[c]++;
    uint32_t place = place_find(key, false);
    if (!block || place_group(place) != 0) {
        fetch_add_relaxed(&site_tables->places[place].taken, got);
        return block;
    }
    unsigned stride = sample_stride(c, got);
    void *sample = own_random(own) % stride == 0 ? sample_take(own, c, key >> 8, block, got * stride) : NULL;
    if (sample)
        group_return(&own->groups, group, block, "malloc");
    return sample ? sample : block;
}

/* Joins the class again if its rings were hardly ever refilled. */
static void class_review(struct site_cache *own, unsigned c)
{
    if (own->pops[c] < SITE_REVIEW)
        return;
    if (own->refills[c] < REVIEW_REFILLS)
        class_join(c);
    own->pops[c] = own->refills[c] = 0;
}

static void *divided_malloc(unsigned c, uintptr_t site)
{
    struct cache *cache = cache_enter();
    if (!cache)
        return NULL;
    void *block = NULL;
    struct site_cache *own = own_of(cache);
    if (own) {
        class_review(own, c);
        ways_forget(own);
        uint64_t key = site_key(c, site);
        unsigned group = place_group(place_find(key, false));
        if (group == 0)
            group = load_relaxed(&others[c]); /* 0 where the division is seen before this is */
        block = group ? grouped_malloc(own, group, key) : NULL;
    }
    cache_leave(cache);
    return block;
}

void *site_malloc(unsigned c, size_t size, uintptr_t site)
{
    void *block = is_divided(c) ? divided_malloc(c, site) : NULL;
    return block ? block : plain_malloc(c, size, site);
}

COLD void *site_malloc_named(size_t size, uintptr_t site)
{
    if (size > SITE_SIZE_MAX || site == 0)
        return NULL;
    void *block = site_take(size, site);
    struct cache *cache = block ? NULL : cache_enter();
    struct site_cache *own = cache ? own_of(cache) : NULL;
    if (own) {
        unsigned c = class_of(size);
        ways_forget(own);
        own->pops[c] = own->pops[c] == SITE_REVIEW ? 0 : own->pops[c];
        uint32_t place = place_find(site_key(c, site), true);
        if (place != 0 && place_group(place) == 0 && lock_acquire()) {
            place_set_apart(&site_tables->places[place]);
            lock_release();
        }
        if (place_group(place) != 0)
            block = grouped_malloc(own, place_group(place), site_key(c, site));
    }
    if (cache)
        cache_leave(cache);
    return block;
}

/* ---- Frees ------------------------------------------------------------------------------------------------------- */

/* The next block of the class is to be looked at: it stands for as many as the sample that ended did. */
static void successor_await(struct cache *cache, struct site_cache *own, unsigned c, uint32_t weight)
{
    if (weight == 0 || is_divided(c))
        return;
    own->successor[c] = weight;
    own->patience[c] = PATIENCE;
    ring_await(cache, c);
}

void site_freed(unsigned c)
{
    struct cache *cache = cache_self;
    struct site_cache *own = (struct site_cache *)load_relaxed(&cache->groups);
    if (!own || own->successor[c] == 0)
        return;
    if (--own->patience[c] > 0)
        ring_await(cache, c);
    else
        own->successor[c] = 0;
}

static COLD void free_slowly(void *block, unsigned group, const char *call)
{
    struct cache *cache = cache_enter();
    struct site_cache *own = cache ? own_of(cache) : NULL;
    uint32_t weight = group < GROUP_FREE_FIRST ? sample_end(block) : 0;
    if (own) {
        group_return(&own->groups, group, block, call);
        successor_await(cache, own, group_class(group), weight);
    } else {
        page_visit_begin();
        page_return(&block, 1, call);
        page_visit_end();
        purge_if_due(0);
    }
    if (cache)
        cache_leave(cache);
}

void site_free(void *block, const char *call)
{
    enum error_id error;
    struct cache *cache = cache_self;
    struct group_cache *groups = load_relaxed(&cache->groups);
    const struct page *page = map_page(block);
    if (UNLIKELY(!page))
        error_fatal(ERROR_NOT_LIVE, call, block, 0);
    if (UNLIKELY(!page_has_live(page, block, &error)))
        error_fatal(error, call, block, class_size(page->class_id));
    unsigned group = load_relaxed(&page->group);
    if (group < GROUP_FREE_FIRST || !groups || cache->busy || !group_push(&groups->ring[group], block))
        free_slowly(block, group, call);
}

void site_after_fork(void)
{
    if (!site_is_on())
        return;
    for (struct sample *sample = site_tables->samples; sample < &site_tables->samples[SAMPLES]; sample++)
        if (load_relaxed(&sample->block) == SAMPLE_BUSY)
            store_relaxed(&sample->block, 0);
}

/* ---- Reporting --------------------------------------------------------------------------------------------------- */

static unsigned line_count;

static unsigned line_find_or_add(uintptr_t site)
{
    for (unsigned i = 0; i < line_count; i++)
        if (site_tables->lines[i].site == site)
            return i;
    site_tables->lines[line_count] = (struct site_use){.site = site};
    return line_count++;
}

static void add_places(void)
{
    line_count = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        const struct place *place = &site_tables->places[i];
        if (i > 0 && load_relaxed(&place->key) == 0)
            continue;
        site_tables->line_of_place[i] = (uint16_t)line_find_or_add(load_relaxed(&place->key) >> 8);
        struct site_use *line = &site_tables->lines[site_tables->line_of_place[i]];
        line->taken += load_relaxed(&place->taken);
        line->ended += load_relaxed(&place->ended);
        line->life += load_relaxed(&place->life);
        line->apart += place_group(i) != 0;
    }
}

/* What a block keeps of the page where the sample's companion lies; at least itself. */
static uint64_t bytes_pinned(const struct sample *sample, unsigned c)
{
    const void *companion = (const void *)load_relaxed(&sample->companion);
    return max_size(load_relaxed(&sample->bytes), c && companion ? page_bytes_kept(companion, c) : 0);
}

static void add_samples(void)
{
    for (const struct sample *sample = site_tables->samples; sample < &site_tables->samples[SAMPLES]; sample++) {
        if (load_acquire(&sample->block) <= SAMPLE_BUSY) /* pairs with sample_begin */
            continue;
        uint32_t place = load_relaxed(&sample->place);
        uint64_t weight = load_relaxed(&sample->weight);
        struct site_use *line = &site_tables->lines[site_tables->line_of_place[place]];
        line->live += weight * load_relaxed(&sample->bytes);
        line->pinned += weight * bytes_pinned(sample, place_class(&site_tables->places[place]));
    }
}

/* Blocks in rings count as live: which site they are of next is not known, but its pages are held. */
static void add_groups(void)
{
    struct page_totals totals[GROUP_COUNT];
    page_count_groups(totals);
    for (unsigned i = 1; i < PLACES; i++) {
        unsigned group = place_group(i), c = place_class(&site_tables->places[i]);
        if (group == 0)
            continue;
        struct site_use *line = &site_tables->lines[site_tables->line_of_place[i]];
        line->live += (totals[group].pages * class_info[c].blocks - totals[group].free_blocks) * class_size(c);
        line->pinned += totals[group].touched;
    }
}

COLD unsigned site_gather(struct site_use out[static SITE_REPORT_LINES])
{
    struct site_use *lines = site_tables->lines;
    unsigned count = 0;
    add_places();
    add_samples();
    add_groups();
    for (; count < SITE_REPORT_LINES; count++) {
        struct site_use *most = &lines[0];
        for (unsigned i = 1; i < line_count; i++)
            if (lines[i].pinned > most->pinned || (lines[i].pinned == most->pinned && lines[i].taken > most->taken))
                most = &lines[i];
        if (most->taken == 0)
            break;
        out[count] = *most;
        *most = (struct site_use){.site = most->site};
    }
    return count;
}

static void print_use(struct text *text, const struct site_use *use, const struct maps_place *place)
{
    text_bytes(text, use->live);
    text_bytes(text, use->pinned);
    text_right(text, use->pinned ? min_size(100, use->live * 100 / use->pinned) : 100, 6);
    text_string(text, " %");
    text_right(text, use->taken, 14);
    if (use->ended > 0)
        text_right(text, use->life / use->ended, 11);
    else
        text_string(text, "          -");
    text_right(text, use->apart, 7);
    text_string(text, "  ");
    if (use->site == 0)
        text_string(text, "(others)");
    else if (place->name[0] == '\0')
        text_hex(text, use->site);
    else {
        text_string(text, place->name);
        text_string(text, "+");
        text_hex(text, place->offset);
    }
    text_string(text, "\n");
    text_end(text); /* line by line, so that tables of several processes do not mix within one */
}

COLD void site_report(int fd)
{
    struct site_use uses[SITE_REPORT_LINES];
    struct maps_place places_of[SITE_REPORT_LINES];
    struct text text;
    unsigned count = site_gather(uses);
    for (unsigned i = 0; i < count; i++)
        places_of[i].address = uses[i].site;
    maps_find(places_of, count);
    text_begin(&text, fd);
    text_string(&text, "hakmem sites of process ");
    text_decimal(&text, os_process_id());
    text_string(&text, "\n        live      pinned    full        blocks    mean ms  apart  site\n");
    for (unsigned i = 0; i < count; i++)
        print_use(&text, &uses[i], &places_of[i]);
    text_end(&text);
}
