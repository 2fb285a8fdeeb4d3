/* Globs and numbers, as Redis reads them. */
#include <math.h>
#include <string.h>

#include "fsm/glob.h"
#include "fsm/number.h"

#include "base/mem.h"
#include "lib/test.h"

static const struct {
    const char *pattern, *text;
    bool match;
} globs[] = {
    { "", "", true },           { "", "a", false },
    { "a", "", false },         { "*", "", true },
    { "*", "anything", true },  { "**", "", true },
    { "?", "a", true },         { "?", "", false },
    { "a?c", "abc", true },     { "a?c", "ac", false },
    { "a*c", "abbbc", true },   { "a*c", "abbbd", false },
    { "*a*", "bab", true },     { "*ab", "aab", true },
    { "*aab", "aaab", true },   { "a*b*c", "axxbyyc", true },
    { "a*b*c", "axxcyyb", false }, { "h[ae]llo", "hello", true },
    { "h[ae]llo", "hillo", false }, { "h[^e]llo", "hallo", true },
    { "h[^e]llo", "hello", false }, { "h[a-c]llo", "hbllo", true },
    { "h[a-c]llo", "hdllo", false }, { "h[c-a]llo", "hbllo", true },
    { "h[^a-c]llo", "hdllo", true }, { "h[\\]]llo", "h]llo", true },
    { "h[\\^e]llo", "h^llo", true }, { "\\*", "*", true },
    { "\\*", "a", false },      { "a\\", "a\\", true },
    { "\\\\", "\\", true },     { "[abc", "b", true },
    { "[abc", "d", false },     { "[^", "a", true },
    { "[", "a", false },        { "[]", "a", false },
    { "[]a", "a", false },      { "[a-]", "b", false },
    { "[a-]x", "ax", false },   { "[a-", "-", true },
    { "a*[0-9]", "abc7", true }, { "*[ab]*[cd]*", "xxaxxdxx", true },
    { "key:?*", "key:", false }, { "key:?*", "key:1", true },
};

TEST(glob, matches_what_redis_matches)
{
    for (size_t i = 0; i < sizeof(globs) / sizeof(globs[0]); i++)
        if (glob_match(slice_str(globs[i].pattern),
                       slice_str(globs[i].text)) != globs[i].match)
            FAIL("pattern %s text %s", globs[i].pattern, globs[i].text);
}

TEST(glob, bytes_are_bytes)
{
    CHECK(glob_match(slice_make("a?\0*", 4), slice_make("a\xff\0b", 4)));
    CHECK(!glob_match(slice_make("a\0", 2), slice_make("a", 1)));
    CHECK(glob_match(slice_make("[\x80-\xff]", 5), slice_make("\xc3", 1)));
}

/* Would take longer than the age of the universe by trying all ways. */
TEST(glob, many_stars_take_little_time)
{
    char pattern[121], text[4097];

    for (unsigned i = 0; i < 60; i++)
        memcpy(pattern + 2 * i, "*a", 2);
    pattern[120] = 'b';
    memset(text, 'a', sizeof(text));
    CHECK(!glob_match(slice_make(pattern, sizeof(pattern)),
                      slice_make(text, sizeof(text))));
}

static bool parses(const char *s)
{
    int64_t v;

    return number_parse_int(slice_str(s), &v);
}

TEST(number, integers_have_one_form)
{
    static const int64_t values[] = { 0, 1, -1, 10, INT64_MAX, INT64_MIN,
                                      INT64_MAX - 1, INT64_MIN + 1 };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char text[NUMBER_INT_TEXT_MAX];
        size_t n = number_format_int(text, values[i]);
        int64_t back;

        CHECK(number_parse_int(slice_make(text, n), &back));
        CHECK_EQ(back, values[i]);
    }
    CHECK(!parses("") && !parses("-") && !parses("+1") && !parses("01"));
    CHECK(!parses("-0") && !parses("-01") && !parses("00") && !parses(" 1"));
    CHECK(!parses("1 ") && !parses("1.0") && !parses("1e3") && !parses("a"));
    CHECK(!parses("9223372036854775808") && !parses("-9223372036854775809"));
    CHECK(!parses("99999999999999999999") && !parses("9999999999999999999"));
    CHECK(!number_parse_int(slice_make("1\0", 2), &(int64_t){ 0 }));
}

static const struct {
    const char *in, *out; /* out NULL: refused */
} floats[] = {
    { "3.0", "3" },        { "0.1", "0.1" },
    { "-0", "0" },         { "-0.0", "0" },
    { "1e3", "1000" },     { "-1.5e-3", "-0.0015" },
    { "+2", "2" },         { ".5", "0.5" },
    { "5.", "5" },         { "0x1p4", "16" },
    { "1e-18", "0" },      { "-1e-18", "0" },
    { "", NULL },          { " 1", NULL },
    { "1 ", NULL },        { "\t1", NULL },
    { "abc", NULL },       { "1,5", NULL },
    { "nan", NULL },       { "1e5000", NULL },
    { "1e-5000", NULL },   { "1 2", NULL },
    { "--1", NULL },
};

TEST(number, floats_are_written_without_exponent_and_trailing_zeros)
{
    for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++) {
        char text[NUMBER_FLOAT_TEXT_MAX];
        long double v;

        if (number_parse_float(slice_str(floats[i].in), &v) !=
            (floats[i].out != NULL))
            FAIL("%s", floats[i].in);
        if (floats[i].out == NULL)
            continue;
        CHECK_EQ(number_format_float(text, v), strlen(floats[i].out));
        CHECK_STR(text, floats[i].out);
    }
}

TEST(number, infinities_pass_and_long_texts_do_not)
{
    char long_text[NUMBER_FLOAT_TEXT_MAX + 1];
    long double v;

    CHECK(number_parse_float(slice_str("inf"), &v) && isinf(v));
    CHECK(number_parse_float(slice_str("-Infinity"), &v) && isinf(v));
    CHECK(!number_parse_float(slice_make("1\0", 2), &v));
    memset(long_text, '0', sizeof(long_text));
    long_text[NUMBER_FLOAT_TEXT_MAX - 2] = '7';
    CHECK(number_parse_float(
        slice_make(long_text, NUMBER_FLOAT_TEXT_MAX - 1), &v));
    CHECK(v == 7);
    CHECK(!number_parse_float(slice_make(long_text, NUMBER_FLOAT_TEXT_MAX),
                              &v));
}

TEST(number, the_longest_float_fits)
{
    char text[NUMBER_FLOAT_TEXT_MAX];
    long double v;

    CHECK(number_parse_float(slice_str("-1.18e4932"), &v));
    CHECK(number_format_float(text, v) > 4900);
}
