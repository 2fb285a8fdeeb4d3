/* Changing frames so that the kernels at both ends notice nothing.
 *
 * A switch that flips a bit makes a segment that TCP drops and sends again: a kind
 * of loss.  What reaches the program is corruption that happened before or after
 * the checksum was made (memory, a broken offload engine), so the checksum is
 * mended after the flip, by the rule of RFC 1624: HC' = ~(~HC + ~m + m').
 *
 * A reset must fit the connection exactly or the receiver only asks back
 * (RFC 5961): its sequence number is that of the segment that it replaces, and for
 * the other side the number that this segment acknowledges, which is what the
 * sender of the segment expects next. */
#include "switch.h"

#include <string.h>

#include "base/assert.h"

#define ETHER_BYTES 14u
#define IP_BYTES_MIN 20u
#define TCP_BYTES_MIN 20u
#define IP_PROTOCOL_TCP 6u
#define TCP_RST 0x04u
#define TCP_ACK 0x10u

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* Sum of the 16-bit words, not folded; a last odd byte is the high half of one. */
static uint32_t sum_words(const uint8_t *p, size_t n, uint32_t sum)
{
    for (; n > 1; p += 2, n -= 2)
        sum += get16(p);
    return n > 0 ? sum + ((uint32_t)p[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

bool frame_parse_tcp(const uint8_t *frame, size_t len, struct segment *ret)
{
    struct segment s = { .ip = ETHER_BYTES };
    size_t ip_len;

    if (len < ETHER_BYTES + IP_BYTES_MIN || get16(frame + 12) != 0x0800 ||
        frame[s.ip] >> 4 != 4 || frame[s.ip + 9] != IP_PROTOCOL_TCP ||
        (get16(frame + s.ip + 6) & 0x3fff) != 0)
        return false;
    ip_len = get16(frame + s.ip + 2);
    s.tcp = s.ip + (frame[s.ip] & 0x0fu) * 4u;
    s.end = s.ip + ip_len;
    if (s.tcp < s.ip + IP_BYTES_MIN || s.end > len ||
        s.end < s.tcp + TCP_BYTES_MIN)
        return false;
    s.payload = s.tcp + (frame[s.tcp + 12] >> 4) * 4u;
    if (s.payload < s.tcp + TCP_BYTES_MIN || s.payload > s.end)
        return false;
    s.src_port = get16(frame + s.tcp);
    s.dst_port = get16(frame + s.tcp + 2);
    *ret = s;
    return true;
}

uint16_t frame_tcp_sum(const uint8_t *frame, const struct segment *s)
{
    uint32_t sum = sum_words(frame + s->ip + 12, 8, IP_PROTOCOL_TCP);

    sum += (uint32_t)(s->end - s->tcp);
    return (uint16_t)~fold(sum_words(frame + s->tcp, s->end - s->tcp, sum));
}

void frame_flip(uint8_t *frame, const struct segment *s, uint64_t bit)
{
    size_t at = s->payload + (size_t)(bit / 8);
    /* Words count from the TCP header. */
    size_t word = at - (at - s->tcp) % 2;
    uint32_t before, after, sum;

    ASSERT(at < s->end);
    before = sum_words(frame + word, s->end - word > 1 ? 2 : 1, 0);
    frame[at] ^= (uint8_t)(1u << bit % 8);
    after = sum_words(frame + word, s->end - word > 1 ? 2 : 1, 0);
    sum = (uint16_t)~get16(frame + s->tcp + 16);
    put16(frame + s->tcp + 16,
          (uint16_t)~fold(sum + (uint16_t)~before + after));
}

/* Headers without options or payload; the checksums are made last. */
static void finish_reset(uint8_t *frame)
{
    const struct segment s = { .ip = ETHER_BYTES,
                               .tcp = ETHER_BYTES + IP_BYTES_MIN,
                               .end = FRAME_RESET_BYTES };
    uint8_t *ip = frame + s.ip, *tcp = frame + s.tcp;

    ip[0] = 0x45;
    put16(ip + 2, IP_BYTES_MIN + TCP_BYTES_MIN);
    put16(ip + 10, 0);
    put16(ip + 10, (uint16_t)~fold(sum_words(ip, IP_BYTES_MIN, 0)));
    tcp[12] = TCP_BYTES_MIN / 4 << 4;
    put16(tcp + 14, 0); /* window */
    put16(tcp + 16, 0);
    put16(tcp + 18, 0); /* urgent */
    put16(tcp + 16, frame_tcp_sum(frame, &s));
    ASSERT(frame_tcp_sum(frame, &s) == 0);
}

void frame_make_resets(uint8_t *frame, const struct segment *s, uint8_t *reply)
{
    uint8_t head[TCP_BYTES_MIN];
    uint8_t *ip = frame + s->ip;

    ASSERT(s->end >= FRAME_RESET_BYTES);
    memcpy(head, frame + s->tcp, sizeof head);
    memcpy(frame + s->ip + IP_BYTES_MIN, head, sizeof head);

    memcpy(reply, frame + 6, 6);
    memcpy(reply + 6, frame, 6);
    memcpy(reply + 12, frame + 12, ETHER_BYTES - 12 + IP_BYTES_MIN);
    memcpy(reply + s->ip + 12, ip + 16, 4);
    memcpy(reply + s->ip + 16, ip + 12, 4);
    reply += s->ip + IP_BYTES_MIN;
    memcpy(reply, head + 2, 2);
    memcpy(reply + 2, head, 2);
    memcpy(reply + 4, head + 8, 4); /* what it expects next */
    memset(reply + 8, 0, 4);
    reply[13] = TCP_RST;
    finish_reset(reply - s->ip - IP_BYTES_MIN);

    frame[s->ip + IP_BYTES_MIN + 13] = TCP_RST | TCP_ACK;
    finish_reset(frame);
}
