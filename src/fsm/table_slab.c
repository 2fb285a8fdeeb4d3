/* A slab allocator whose objects have 32-bit names.
 *
 * An entry of the table has three links to other entries; with pointers they
 * would take 24 bytes a key, with handles they take 12, and malloc's 16 bytes
 * of overhead and rounding are gone too.
 *
 *   handle = page number * 2048 + offset in the page / 8
 *
 * so that finding the object takes one load from the page array.  32 bits name
 * 32 GiB of small entries in one shard; values too long for an object live
 * outside.
 *
 * A page is one block of malloc, 16368 bytes (with malloc's own header a round
 * 16 KiB), of objects of one class:
 *
 *   byte 0..15   struct page
 *        16..    objects
 *
 * Classes rise by 8 bytes to 256, by 32 to 512, by 64 to 1024: at most a ninth
 * is lost by rounding, nothing for the small entries that come by the million.
 *
 *   S1  A page is in its class's partial list if and only if it has room.
 *   S2  Offset 0 is the page header, so handle 0 never names an object.
 *   S3  A page without objects is given back, unless it is the only one of its
 *       class with room (else a set and del at the border would malloc each
 *       time).
 *   S4  used + free objects + fresh ones = capacity of the page.
 *
 * Objects that were never used are not linked into a free list when the page is
 * made: `fresh` counts through them.  So no call does more than constant
 * work. */
#include "fsm/table_slab.h"

#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct page {
    uint16_t used;  /* objects handed out */
    uint16_t class;
    uint16_t free;  /* unit offset of the first freed object; 0: none */
    uint16_t fresh; /* unit offset of the first never used; 0: none left */
    uint32_t prev, next; /* in the partial list: page number + 1, or 0 */
};
_Static_assert(sizeof(struct page) == 16, "objects start at byte 16");

static unsigned class_of(size_t n)
{
    ASSERT(n > 0);
    ASSERT(n <= SLAB_OBJECT_MAX);
    if (n <= 256)
        return (unsigned)((n - 1) / 8);
    if (n <= 512)
        return (unsigned)(32 + (n - 257) / 32);
    return (unsigned)(40 + (n - 513) / 64);
}

static size_t class_bytes(unsigned class)
{
    if (class < 32)
        return (class + 1) * 8u;
    if (class < 40)
        return 256 + (class - 31) * 32u;
    return 512 + (class - 39) * 64u;
}

size_t slab_round(size_t n)
{
    return class_bytes(class_of(n));
}

static uint16_t class_units(unsigned class)
{
    return (uint16_t)(class_bytes(class) / SLAB_UNIT);
}

static struct page *page_at(const struct slab *s, uint32_t number)
{
    return (void *)s->pages[number];
}

static bool page_has_room(const struct page *p)
{
    return p->free != 0 || p->fresh != 0;
}

void slab_init(struct slab *s)
{
    *s = (struct slab){ .pages = NULL };
}

void slab_close(struct slab *s)
{
    for (uint32_t i = 0; i < s->page_count; i++)
        mem_free(s->pages[i]);
    mem_free(s->pages);
    mem_free(s->next_free);
    slab_init(s);
}

static void partial_add(struct slab *s, uint32_t number)
{
    struct page *p = page_at(s, number);

    p->prev = 0;
    p->next = s->partial[p->class];
    if (p->next != 0)
        page_at(s, p->next - 1)->prev = number + 1;
    s->partial[p->class] = number + 1;
}

static void partial_del(struct slab *s, uint32_t number)
{
    struct page *p = page_at(s, number);

    if (p->next != 0)
        page_at(s, p->next - 1)->prev = p->prev;
    if (p->prev != 0)
        page_at(s, p->prev - 1)->next = p->next;
    else
        s->partial[p->class] = p->next;
}

static uint32_t number_take(struct slab *s)
{
    uint32_t number;

    if (s->free_number != 0) {
        number = s->free_number - 1;
        s->free_number = s->next_free[number];
        return number;
    }
    /* 32 GiB of small entries in one shard: as much as the machine has. */
    ASSERT(s->page_count < UINT32_MAX / SLAB_PAGE_UNITS);
    if (s->page_count == s->page_cap) {
        s->page_cap = s->page_cap == 0 ? 16 : s->page_cap * 2;
        s->pages = mem_realloc(s->pages, s->page_cap * sizeof(s->pages[0]));
        s->next_free =
            mem_realloc(s->next_free, s->page_cap * sizeof(s->next_free[0]));
    }
    return s->page_count++;
}

static uint32_t page_new(struct slab *s, unsigned class)
{
    uint32_t number = number_take(s);
    struct page *p = mem_alloc(SLAB_PAGE_BYTES);

    *p = (struct page){ .class = (uint16_t)class,
                        .fresh = sizeof(struct page) / SLAB_UNIT };
    s->pages[number] = (void *)p;
    s->pages_held++;
    partial_add(s, number);
    return number;
}

static void page_release(struct slab *s, uint32_t number)
{
    partial_del(s, number);
    mem_free(s->pages[number]);
    s->pages[number] = NULL;
    s->next_free[number] = s->free_number;
    s->free_number = number + 1;
    s->pages_held--;
}

uint32_t slab_alloc(struct slab *s, size_t n)
{
    unsigned class = class_of(n);
    uint16_t units = class_units(class);
    uint32_t number, unit;
    struct page *p;

    if (s->partial[class] == 0)
        number = page_new(s, class);
    else
        number = s->partial[class] - 1;
    p = page_at(s, number);
    ASSERT(page_has_room(p));
    if (p->free != 0) {
        unit = p->free;
        memcpy(&p->free, s->pages[number] + (size_t)unit * SLAB_UNIT,
               sizeof(p->free));
    } else {
        unit = p->fresh;
        p->fresh = (uint16_t)(unit + units);
        if ((p->fresh + units) * SLAB_UNIT > (int)SLAB_PAGE_BYTES)
            p->fresh = 0;
    }
    p->used++;
    if (!page_has_room(p))
        partial_del(s, number);
    return number * SLAB_PAGE_UNITS + unit;
}

void slab_free(struct slab *s, uint32_t handle)
{
    uint32_t number = handle / SLAB_PAGE_UNITS;
    uint16_t unit = (uint16_t)(handle % SLAB_PAGE_UNITS);
    struct page *p;

    ASSERT(handle != 0);
    ASSERT(number < s->page_count);
    p = page_at(s, number);
    ASSERT(p->used > 0);
    if (!page_has_room(p))
        partial_add(s, number);
    memcpy(s->pages[number] + (size_t)unit * SLAB_UNIT, &p->free,
           sizeof(p->free));
    p->free = unit;
    p->used--;
    if (p->used == 0 && (p->prev != 0 || p->next != 0))
        page_release(s, number);
}

size_t slab_bytes(const struct slab *s)
{
    return s->pages_held * (size_t)(SLAB_PAGE_BYTES + 16) +
           s->page_cap * (sizeof(s->pages[0]) + sizeof(s->next_free[0]));
}

/* S4 for one page. */
static void page_check(const struct slab *s, uint32_t number)
{
    const struct page *p = page_at(s, number);
    unsigned units = class_units(p->class), free_count = 0, fresh = 0;
    unsigned capacity =
        (SLAB_PAGE_BYTES - (unsigned)sizeof(*p)) / (units * SLAB_UNIT);

    for (uint16_t unit = p->free; unit != 0; free_count++) {
        ASSERT(free_count < capacity);
        memcpy(&unit, s->pages[number] + (size_t)unit * SLAB_UNIT,
               sizeof(unit));
    }
    if (p->fresh != 0)
        fresh = capacity - (p->fresh - 2u) / units;
    ASSERT(p->used + free_count + fresh == capacity);
}

void slab_check(const struct slab *s)
{
    uint32_t held = 0, roomy = 0, listed = 0;

    for (uint32_t i = 0; i < s->page_count; i++) {
        if (s->pages[i] == NULL)
            continue;
        page_check(s, i);
        held++;
        roomy += page_has_room(page_at(s, i));
    }
    for (unsigned c = 0; c < SLAB_CLASSES; c++) {
        for (uint32_t at = s->partial[c]; at != 0; listed++) {
            ASSERT(page_has_room(page_at(s, at - 1))); /* S1 */
            ASSERT(page_at(s, at - 1)->class == c);
            at = page_at(s, at - 1)->next;
        }
    }
    ASSERT(held == s->pages_held);
    ASSERT(roomy == listed); /* S1 */
}
