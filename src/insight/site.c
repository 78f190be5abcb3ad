#include "insight/site.h"

#include "heap/check.h"
#include "insight/ledger.h"
#include "policy/policy.h"
#include "system/options.h"
#include "system/lock.h"
#include "heap/map.h"
#include "system/maps.h"
#include "heap/meta.h"
#include "system/os_clock.h"
#include "system/os_map.h"
#include "system/os_process.h"
#include "heap/page.h"
#include "heap/purge.h"
#include "system/text.h"
#include "cache/flush.h"
#include "cache/thread.h"

enum {
    LEARNED_PLACES = 4,        /* of a class, with groups where the policy divides: the first that samples show */
    PLACES = 1024,             /* a power of two */
    PLACE_PROBES = 32,
    DIVIDE_BYTES = 4 << 20,    /* what a class has to hold to be divided: less is near in any case */
    OWN_BYTES = 128 << 10,     /* what a place has to hold to have pages of its own */
    OTHERS_BYTES = 32 << 10,   /* what others must hold where only one place has */
    OTHERS_SHARE = 32,         /* or this part of all, if it is more */
    SECOND_THOUGHTS = 4,       /* by how much more a class has to hold to be divided again */
    REVIEW_REFILLS = 32        /* in SITE_REVIEW pops; with fewer, pages do not matter */
};

/* A site and a class of blocks. All bytes are of blocks, as estimated from samples. */
struct place {
    _Atomic(uint64_t) key;      /* 0: free; set once */
    _Atomic(uint64_t) taken;    /* that were ever taken */
    _Atomic(uint64_t) bytes;    /* of samples not yet ended */
    _Atomic(uint64_t) ended;    /* of samples that ended */
    _Atomic(uint64_t) life;     /* their milliseconds, times bytes */
    _Atomic(uint8_t) group;     /* 0: none of its own. Stored last; pairs release/acquire with place_group */
};

/* A quarter of a MiB that programs without sites do not have in their address space. */
struct site_tables {
    struct place places[PLACES]; /* place 0: all for which there was no room */
    /* For reports: all sites, sorted out of places; and for each place, which line is its site's. */
    struct site_use lines[PLACES];
    uint16_t line_of_place[PLACES];
};
struct site_tables *_Atomic site_tables;
struct site_division site_division;
static SPARSE _Atomic(uint8_t) others[CLASS_SLOTS]; /* the group of a divided class for places that have none */
static _Atomic(uint32_t) sampled[CLASS_SLOTS];     /* samples ever taken */
static SPARSE size_t divide_bytes[CLASS_SLOTS];    /* [lock] what each class has to hold; 0: DIVIDE_BYTES */
static uint64_t churning;                          /* [lock] classes that the policy keeps apart, and that only churn */
static _Atomic(uint8_t) learned[CLASS_SLOTS];      /* [lock to write] places with a group, of classes kept apart */

static struct site_tables *tables(void) { return load_acquire(&site_tables); /* pairs with site_start */ }

COLD bool site_start(void)
{
    struct site_tables *none = NULL;
    void *memory;
    if (site_is_on())
        return true;
    if (os_map(sizeof *none, 1, NULL, &memory) != 0)
        return false;
    if (!cas_seq(&site_tables, &none, memory)) /* elects one thread; pairs with tables */
        os_unmap(memory, sizeof *none);
    return true;
}

/* Whether the policy says which classes are divided, and not what samples say of all. */
static bool policy_divides(void) { return !option(OPTION_SITES); }

/* ---- Places ------------------------------------------------------------------------------------------------------ */

/* The place's number; 0 when it is not known, or there is no room for another. */
static uint32_t place_find(uint64_t key, bool make)
{
    for (uint32_t probe = 0; probe < PLACE_PROBES; probe++) {
        uint32_t number = (uint32_t)(hash_mix(key) + probe) % PLACES;
        _Atomic(uint64_t) *place_key = &tables()->places[number].key;
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

static unsigned place_group(uint32_t number) { return load_acquire(&tables()->places[number].group); }

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
    for (struct place *place = &tables()->places[1]; place < &tables()->places[PLACES]; place++) {
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
        for (struct place *place = &tables()->places[1]; place < &tables()->places[PLACES]; place++)
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
    churning |= (uint64_t)1 << c;
    divide_bytes[c] = SECOND_THOUGHTS * max_size(class_holdings(c).all, max_size(divide_bytes[c], DIVIDE_BYTES));
    division_change(load_relaxed(&site_division.classes) & ~((uint64_t)1 << c));
    lock_release();
}

/* Gives a site a group in a class, if it is one of the first. Under the lock. */
static void learned_set_apart(unsigned c, uintptr_t site)
{
    uint32_t number = load_relaxed(&learned[c]) < LEARNED_PLACES ? place_find(site_key(c, site), true) : 0;
    struct place *place = &tables()->places[number];
    if (number == 0 || load_relaxed(&place->group) != 0)
        return;
    store_relaxed(&learned[c], (uint8_t)(load_relaxed(&learned[c]) + 1));
    place_set_apart(place);
}

/* Sites of other classes, which probably allocate blocks of this one, too. Under the lock. */
static void learned_adopt(unsigned c)
{
    for (unsigned i = 1; i < PLACES; i++) {
        uint64_t key = load_relaxed(&tables()->places[i].key);
        if (key != 0 && place_group(i) != 0 && place_class(&tables()->places[i]) != c)
            learned_set_apart(c, (uintptr_t)(key >> 8));
    }
}

/* Divides the classes that the policy keeps apart, and joins the others. Under the lock. */
static void policy_obey(const struct policy *policy)
{
    uint64_t classes = 0;
    for (unsigned c = 1; c <= CLASS_FIXED_LAST; c++) {
        if (!policy->class[c].apart)
            continue;
        if (load_relaxed(&others[c]) == 0)
            store_relaxed(&others[c], (uint8_t)group_make(c));
        if (load_relaxed(&others[c]) == 0)
            continue;
        classes |= (uint64_t)1 << c;
        learned_adopt(c);
    }
    churning &= classes;
    division_change(classes & ~churning);
}

static bool policy_has_apart(const struct policy *policy)
{
    for (unsigned c = 1; c <= CLASS_FIXED_LAST; c++)
        if (policy->class[c].apart)
            return true;
    return false;
}

static COLD void policy_look(void)
{
    static _Atomic(uint32_t) version; /* [lock to write] of the policy that was obeyed; else a hint */
    if (LIKELY(load_relaxed(&version) == policy_now()->version))
        return;
    if ((policy_has_apart(policy_now()) && !site_start()) || !lock_acquire())
        return;
    const struct policy *policy = policy_now(); /* others may have obeyed a newer one than was seen above */
    if (site_is_on())
        policy_obey(policy);
    store_relaxed(&version, policy->version);
    lock_release();
}

void site_comply(struct cache *cache)
{
    if (!policy_divides() || check_is_on())
        return;
    policy_look();
    /* Blocks that lie all over the class's old pages would keep these, and be handed out to whoever asks first. */
    for (uint64_t classes = load_relaxed(&site_division.classes); classes != 0; classes &= classes - 1)
        ring_let_pass(cache, lowest_bit(classes));
}

/* A sample of a class that the policy keeps apart: its site gets a group, if it is one of the first. */
static COLD void policy_set_apart(unsigned c, uintptr_t site)
{
    bool is_news = load_relaxed(&learned[c]) < LEARNED_PLACES && place_group(place_find(site_key(c, site), false)) == 0;
    if (!is_news || !lock_acquire())
        return;
    learned_set_apart(c, site);
    division_change(load_relaxed(&site_division.classes));
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
    *own = (struct site_cache){0};
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

/* ---- Samples ----------------------------------------------------------------------------------------------------- */

/* Of a sample of the size; 0: no page's. */
static unsigned site_class(size_t size) { return size <= CLASS_MAX_SIZE ? class_of(size) : 0; }

static uint64_t blocks_of(const struct record_sample *sample)
{
    uint64_t size = load_relaxed(&sample->size);
    return (load_relaxed(&sample->bytes) + size / 2) / size;
}

void site_sample_begun(const struct record_sample *sample)
{
    unsigned c = site_class(load_relaxed(&sample->size));
    if (policy_divides()) {
        if (is_divided(c))
            policy_set_apart(c, load_relaxed(&sample->site));
        return;
    }
    struct place *place = &tables()->places[place_find(site_key(c, load_relaxed(&sample->site)), true)];
    fetch_add_relaxed(&place->taken, blocks_of(sample));
    fetch_add_relaxed(&place->bytes, load_relaxed(&sample->bytes));
    uint32_t count = fetch_add_relaxed(&sampled[c], 1) + 1;
    if (c != 0 && class_size(c) <= POLICY_APART_MAX && decision_is_due(count))
        class_decide(c);
}

void site_sample_ended(const struct record_sample *sample)
{
    if (policy_divides())
        return;
    uint64_t milliseconds = os_milliseconds() - load_relaxed(&sample->born);
    unsigned c = site_class(load_relaxed(&sample->size));
    struct place *place = &tables()->places[place_find(site_key(c, load_relaxed(&sample->site)), false)];
    fetch_sub_relaxed(&place->bytes, load_relaxed(&sample->bytes));
    fetch_add_relaxed(&place->ended, blocks_of(sample));
    fetch_add_relaxed(&place->life, blocks_of(sample) * milliseconds);
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

/* A block that came with `got` blocks of which samples are to tell; or RING_MARK, and it goes back, if samples fall
 * into these: one that counts for all. */
static void *block_or_mark(struct site_cache *own, unsigned group, void *block, unsigned got)
{
    uint32_t times = 0;
    for (unsigned i = 0; i < got; i++)
        times += draw_falls(&cache_self->draw, class_size(group_class(group)));
    if (LIKELY(times == 0))
        return block;
    cache_self->draw.times = times;
    group_return(&own->groups, group, block, "malloc");
    return RING_MARK;
}

/* A block of the group, which is `key`'s; refills are counted, and sampled where no table has them. */
static void *grouped_malloc(struct site_cache *own, unsigned group, uint64_t key)
{
    unsigned c = group_class(group), got = 0;
    struct group_ring *ring = group_ring_of(&own->groups, group);
    void *block = group_pop(ring);
    *site_way_of(own, key) = (struct site_way){key, ring};
    own->pops[c]++;
    if (block)
        return block;
    block = group_refill(&own->groups, group, &got);
    own->refills[c]++;
    uint32_t place = place_find(key, false);
    /* Who asked for sites has a table of those with a group. */
    if (!block || place_group(place) == 0 || policy_divides())
        return block ? block_or_mark(own, group, block, got) : NULL;
    fetch_add_relaxed(&tables()->places[place].taken, got);
    return block;
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

void *site_malloc(unsigned c, uintptr_t site) { return is_divided(c) ? divided_malloc(c, site) : NULL; }

COLD void *site_malloc_named(size_t size, uintptr_t site)
{
    if (size > POLICY_APART_MAX || site == 0)
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
            place_set_apart(&tables()->places[place]);
            lock_release();
        }
        if (place_group(place) != 0)
            block = grouped_malloc(own, place_group(place), site_key(c, site));
    }
    if (cache)
        cache_leave(cache);
    if (count_is_on() && block)
        ledger_count_block(class_size(class_of(size)), site);
    return block;
}

/* ---- Frees ------------------------------------------------------------------------------------------------------- */

static COLD void free_slowly(void *block, unsigned group, const char *call)
{
    struct cache *cache = cache_enter();
    struct site_cache *own = cache ? own_of(cache) : NULL;
    if (own) {
        group_return(&own->groups, group, block, call);
    } else {
        page_visit_return(block, call);
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
    if (!groups || cache->busy || !group_push(group_ring_of(groups, group), block))
        free_slowly(block, group, call);
}

/* ---- Reporting --------------------------------------------------------------------------------------------------- */

static unsigned line_count;

static unsigned line_find_or_add(uintptr_t site)
{
    for (unsigned i = 0; i < line_count; i++)
        if (tables()->lines[i].site == site)
            return i;
    tables()->lines[line_count] = (struct site_use){.site = site};
    return line_count++;
}

static void add_places(void)
{
    line_count = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        const struct place *place = &tables()->places[i];
        if (i > 0 && load_relaxed(&place->key) == 0)
            continue;
        tables()->line_of_place[i] = (uint16_t)line_find_or_add(load_relaxed(&place->key) >> 8);
        struct site_use *line = &tables()->lines[tables()->line_of_place[i]];
        line->taken += load_relaxed(&place->taken);
        line->ended += load_relaxed(&place->ended);
        line->life += load_relaxed(&place->life);
        line->apart += place_group(i) != 0;
    }
}

/* Samples that ended while this is done, or of places for which there was no room, count for no site. */
static void add_sample(const struct record_sample *sample)
{
    size_t size = load_relaxed(&sample->size);
    uint32_t place = place_find(site_key(site_class(size), load_relaxed(&sample->site)), false);
    struct site_use *line = &tables()->lines[tables()->line_of_place[place]];
    line->live += load_relaxed(&sample->bytes);
    line->pinned += load_relaxed(&sample->pinned);
}

/* Blocks in rings count as live: which site they are of next is not known, but its pages are held. */
static void add_groups(void)
{
    struct page_totals totals[GROUP_COUNT];
    page_count_groups(totals);
    for (unsigned i = 1; i < PLACES; i++) {
        unsigned group = place_group(i), c = place_class(&tables()->places[i]);
        if (group == 0)
            continue;
        struct site_use *line = &tables()->lines[tables()->line_of_place[i]];
        line->live += (totals[group].pages * class_info[c].blocks - totals[group].free_blocks) * class_size(c);
        line->pinned += totals[group].touched;
    }
}

COLD unsigned site_gather(struct site_use out[static SITE_REPORT_LINES])
{
    struct site_use *lines = tables()->lines;
    unsigned count = 0;
    add_places();
    ledger_each(add_sample);
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
