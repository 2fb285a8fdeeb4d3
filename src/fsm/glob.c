/* Glob matching without recursion.
 *
 * A pattern is a row of single-byte matchers and stars.  When a byte does not
 * match, only the last star needs to be tried again, one byte longer: an
 * earlier star that took more would leave the later one less text to choose
 * from, and nothing that it could not have had before.  So the work is bounded
 * by pattern times text, and no pattern that a client sends ("a*a*a*a*b") can
 * stop a shard.
 *
 * Odd cases, all as in Redis: a class that is not closed ends with the pattern;
 * in a class a backslash takes the next byte literally, and a range may be
 * given backwards; a backslash at the end of the pattern stands for itself. */
#include "fsm/glob.h"

/* One matcher of the class that begins after '[': does it take c?  *at is moved
 * past the class. */
static bool class_takes(struct slice p, size_t *at, uint8_t c)
{
    size_t i = *at;
    bool not = i < p.n && p.p[i] == '^';
    bool hit = false;

    i += not;
    while (i < p.n && p.p[i] != ']') {
        if (p.p[i] == '\\' && i + 1 < p.n) {
            hit |= p.p[i + 1] == c;
            i += 2;
        } else if (i + 2 < p.n && p.p[i + 1] == '-') {
            uint8_t a = p.p[i], b = p.p[i + 2];

            hit |= a <= b ? a <= c && c <= b : b <= c && c <= a;
            i += 3;
        } else {
            hit |= p.p[i] == c;
            i++;
        }
    }
    *at = i < p.n ? i + 1 : i;
    return hit != not;
}

/* Does the matcher at *at (not a star) take c?  *at is moved past it. */
static bool one_takes(struct slice p, size_t *at, uint8_t c)
{
    uint8_t m = p.p[(*at)++];

    if (m == '?')
        return true;
    if (m == '[')
        return class_takes(p, at, c);
    if (m == '\\' && *at < p.n)
        m = p.p[(*at)++];
    return m == c;
}

bool glob_match(struct slice pattern, struct slice text)
{
    size_t at = 0, pos = 0;
    size_t star = 0, star_pos = 0; /* star: pattern after the last star, or 0 */

    while (pos < text.n) {
        if (at < pattern.n && pattern.p[at] == '*') {
            star = ++at;
            star_pos = pos;
            if (at == pattern.n)
                return true;
            continue;
        }
        if (at < pattern.n && one_takes(pattern, &at, text.p[pos])) {
            pos++;
            continue;
        }
        if (star == 0)
            return false;
        at = star;
        pos = ++star_pos;
    }
    while (at < pattern.n && pattern.p[at] == '*')
        at++;
    return at == pattern.n;
}
