/* Counters of situations. */
#include "kvsim/cover.h"

#include <inttypes.h>
#include <string.h>

uint64_t cover_counts[COVER_COUNT];

static const char *const names[] = {
#define X(name, text) #name,
    COVER_MAP(X)
#undef X
};

void cover_reset(void)
{
    memset(cover_counts, 0, sizeof cover_counts);
}

void cover_print(FILE *f)
{
    for (unsigned i = 0; i < COVER_COUNT; i++)
        fprintf(f, "cover %s %" PRIu64 "\n", names[i], cover_counts[i]);
}
