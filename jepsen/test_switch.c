/* The switch without devices: what its rules do to frames. */
#include <stdio.h>
#include <string.h>

#include "lib/test.h"
#include "switch.h"

#define PEER_PORT 16379
#define N 20000 /* frames where odds are measured */

struct sink {
    unsigned n;
    uint32_t last;  /* first four bytes of the last payload */
    size_t len;
    unsigned dst;
    bool disorder, sum_wrong;
    uint8_t frame[SWITCH_FRAME_BYTES_MAX];
};

static bool take(void *data, unsigned dst, const uint8_t *frame, size_t len)
{
    struct sink *s = data;
    struct segment seg;
    uint32_t number;

    CHECK(frame_parse_tcp(frame, len, &seg));
    s->sum_wrong |= frame_tcp_sum(frame, &seg) != 0;
    memcpy(&number, frame + 54, 4);
    s->disorder |= s->n > 0 && number < s->last;
    s->last = number;
    s->n++;
    s->dst = dst;
    s->len = len;
    memcpy(s->frame, frame, len);
    return true;
}

/* A segment from host 1 to host 2 with a payload that begins with number. */
static size_t make(uint8_t *frame, uint32_t number, size_t payload)
{
    static const uint8_t head[54] = {
        0x02, 0x6b, 0x76, 0, 0, 2, 0x02, 0x6b, 0x76, 0, 0, 1, 0x08, 0x00,
        0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2,
        0x9c, 0x40, PEER_PORT >> 8, PEER_PORT & 0xff, 0, 0, 0x10, 0, 0, 0,
        0x20, 0, 0x50, 0x18, 0, 64, 0, 0, 0, 0,
    };
    struct segment s;
    uint16_t sum;

    memcpy(frame, head, sizeof head);
    frame[16] = (uint8_t)((40 + payload) >> 8);
    frame[17] = (uint8_t)(40 + payload);
    memset(frame + 54, 0xa5, payload);
    if (payload >= 4)
        memcpy(frame + 54, &number, 4);
    CHECK(frame_parse_tcp(frame, 54 + payload, &s));
    sum = frame_tcp_sum(frame, &s);
    frame[50] = (uint8_t)(sum >> 8);
    frame[51] = (uint8_t)sum;
    CHECK_EQ(frame_tcp_sum(frame, &s), 0);
    return 54 + payload;
}

static void command(struct fabric *f, const char *line)
{
    char text[4096];

    if (fabric_command(f, line, text, sizeof text) != 0)
        FAIL("%s: %s", line, text);
}

static void send_many(struct fabric *f, unsigned n)
{
    uint8_t frame[256];

    for (uint32_t i = 0; i < n; i++)
        fabric_send(f, 1, 2, frame, make(frame, i, 100), 1000 + i);
}

static void open_fabric(struct fabric *f, struct sink *s, const char *rule)
{
    memset(s, 0, sizeof *s);
    fabric_init(f, 3, PEER_PORT, 7, take, s);
    if (rule != NULL)
        command(f, rule);
}

TEST(switch, without_rules_every_frame_arrives_at_once_and_in_order)
{
    struct fabric f;
    struct sink s;

    open_fabric(&f, &s, NULL);
    send_many(&f, 100);
    CHECK_EQ(s.n, 100);
    CHECK_EQ(s.dst, 2);
    CHECK(!s.disorder);
    CHECK_EQ(f.pairs[1][2].count.passed, 100);
    CHECK_EQ(f.pairs[2][1].count.passed, 0);
    fabric_close(&f);
}

TEST(switch, a_cut_is_of_one_direction)
{
    struct fabric f;
    struct sink s;
    uint8_t frame[256];

    open_fabric(&f, &s, "set 1 2 cut=1");
    send_many(&f, 10);
    CHECK_EQ(s.n, 0);
    CHECK_EQ(f.pairs[1][2].count.cut, 10);
    fabric_send(&f, 2, 1, frame, make(frame, 1, 100), 5);
    CHECK_EQ(s.n, 1);
    command(&f, "clear");
    send_many(&f, 10);
    CHECK_EQ(s.n, 11);
    fabric_close(&f);
}

TEST(switch, loss_and_duplication_have_the_stated_odds)
{
    struct fabric f;
    struct sink s;

    open_fabric(&f, &s, "set * * loss_ppm=300000");
    send_many(&f, N);
    CHECK(s.n > N * 68 / 100 && s.n < N * 72 / 100);
    CHECK_EQ(f.pairs[1][2].count.lost + s.n, N);
    fabric_close(&f);

    open_fabric(&f, &s, "set 1 * dup_ppm=300000");
    send_many(&f, N);
    CHECK(s.n > N * 128 / 100 && s.n < N * 132 / 100);
    CHECK_EQ(f.pairs[1][2].count.duplicated + N, s.n);
    fabric_close(&f);
}

TEST(switch, a_constant_delay_keeps_the_order_and_jitter_does_not)
{
    struct fabric f;
    struct sink s;

    open_fabric(&f, &s, "set 1 2 delay_us=50");
    send_many(&f, 100);
    CHECK_EQ(s.n, 0);
    CHECK_EQ(fabric_deliver(&f, 1000 + 49999), 1000 + 50000);
    CHECK_EQ(s.n, 0);
    CHECK_EQ(fabric_deliver(&f, 1000 + 50000), 1001 + 50000);
    CHECK_EQ(s.n, 1);
    CHECK_EQ(fabric_deliver(&f, 1000000), UINT64_MAX);
    CHECK_EQ(s.n, 100);
    CHECK(!s.disorder);
    fabric_close(&f);

    open_fabric(&f, &s, "set 1 2 jitter_us=50");
    send_many(&f, 100);
    CHECK_EQ(fabric_deliver(&f, 1000000), UINT64_MAX);
    CHECK_EQ(s.n, 100);
    CHECK(s.disorder);
    fabric_close(&f);
}

TEST(switch, a_rate_spaces_frames_and_a_full_queue_drops)
{
    struct fabric f;
    struct sink s;

    open_fabric(&f, &s, "set 1 2 rate_kbps=154"); /* a frame of 154 bytes: 1 ms */
    send_many(&f, SWITCH_QUEUE_FRAMES_MAX + 10);
    CHECK_EQ(f.pairs[1][2].count.full, 10);
    fabric_deliver(&f, 10 * 1000000 + 1500);
    CHECK(s.n >= 9 && s.n <= 11);
    fabric_close(&f); /* with frames that wait */
}

TEST(switch, a_flipped_bit_passes_the_checksum_whatever_bit_it_is)
{
    uint8_t frame[256], whole[256];

    for (size_t payload = 1; payload < 20; payload++)
        for (uint64_t bit = 0; bit < payload * 8; bit++) {
            size_t len = make(frame, 12345, payload);
            struct segment s;

            memcpy(whole, frame, len);
            CHECK(frame_parse_tcp(frame, len, &s));
            frame_flip(frame, &s, bit);
            CHECK_EQ(frame_tcp_sum(frame, &s), 0);
            CHECK_EQ(frame[54 + bit / 8] ^ whole[54 + bit / 8],
                     1u << bit % 8);
        }
}

TEST(switch, corruption_is_of_the_peer_port_only)
{
    struct fabric f;
    struct sink s;
    uint8_t frame[256], whole[256];
    size_t len = make(frame, 1, 100);

    memcpy(whole, frame, len);
    open_fabric(&f, &s, "set 1 2 corrupt_ppm=1000000");
    fabric_send(&f, 1, 2, frame, len, 1);
    CHECK_EQ(f.pairs[1][2].count.corrupted, 1);
    CHECK(!s.sum_wrong);
    CHECK(memcmp(s.frame, whole, len) != 0);
    f.peer_port = 1;
    memcpy(frame, whole, len);
    fabric_send(&f, 1, 2, frame, len, 2);
    CHECK_EQ(f.pairs[1][2].count.corrupted, 1);
    CHECK_MEM(s.frame, whole, len);
    fabric_close(&f);
}

TEST(switch, a_reset_reaches_both_ends_with_the_numbers_they_expect)
{
    uint8_t frame[256], reply[FRAME_RESET_BYTES];
    struct segment s, r;

    CHECK(frame_parse_tcp(frame, make(frame, 1, 100), &s));
    frame_make_resets(frame, &s, reply);
    CHECK(frame_parse_tcp(frame, FRAME_RESET_BYTES, &r));
    CHECK_EQ(frame_tcp_sum(frame, &r), 0);
    CHECK_EQ(r.dst_port, PEER_PORT);
    CHECK_EQ(frame[47] & 0x04, 0x04);
    CHECK_EQ(frame[40], 0x10); /* sequence number as it was */
    CHECK(frame_parse_tcp(reply, FRAME_RESET_BYTES, &r));
    CHECK_EQ(frame_tcp_sum(reply, &r), 0);
    CHECK_EQ(r.src_port, PEER_PORT);
    CHECK_EQ(reply[47] & 0x04, 0x04);
    CHECK_EQ(reply[40], 0x20); /* what the segment acknowledged */
    CHECK_EQ(reply[5], 1);
    CHECK_EQ(reply[33], 1); /* to 10.77.0.1 */
}

TEST(switch, what_is_no_tcp_segment_is_left_alone)
{
    uint8_t frame[256];
    struct segment s;
    size_t len = make(frame, 1, 100);

    for (size_t cut = 0; cut < len; cut++)
        CHECK(!frame_parse_tcp(frame, cut, &s));
    frame[23] = 17; /* UDP */
    CHECK(!frame_parse_tcp(frame, len, &s));
    make(frame, 1, 100);
    frame[12] = 0x86; /* not IPv4 */
    CHECK(!frame_parse_tcp(frame, len, &s));
    make(frame, 1, 100);
    frame[46] = 0xf0; /* a header longer than its segment may be */
    frame[16] = 0;
    frame[17] = 44;
    CHECK(!frame_parse_tcp(frame, len, &s));
}

TEST(switch, a_command_that_is_not_understood_changes_nothing)
{
    static const char *const bad[] = {
        "set 1", "set 1 4 cut=1", "set 0 1 cut=1", "set 1 2 cut",
        "set 1 2 cut=x", "set 1 2 cut=1 tail=1", "set 1 2 cu=1",
        "set 1 2 loss_ppm=99999999999", "sever 1 2",
    };
    struct fabric f;
    struct sink s;
    char text[256];

    open_fabric(&f, &s, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(fabric_command(&f, bad[i], text, sizeof text), -1);
        CHECK(text[0] != '\0');
    }
    send_many(&f, 5);
    CHECK_EQ(s.n, 5);
    CHECK_EQ(fabric_command(&f, "count", text, sizeof text), 0);
    CHECK(strstr(text, "passed=5 ") == text);
    fabric_close(&f);
}
