/* jepsen/switch: the network of a jepsen run, in user space.
 *
 *   switch --prefix NAME --hosts N --net 10.77.0 --peer-port P --control PATH [--seed S]
 *
 * joins the namespaces NAME1 .. NAMEN (they exist; see `ip netns add`) and says
 * "ready" once all are up.  The kernel's own means (netem) are often not built in; a
 * switch of our own needs only TAP devices and root, has faults for each direction,
 * and counts what it did to every pair of hosts.
 *
 *   switch --control PATH --do 'COMMAND; COMMAND...'
 *
 * has a running switch do things: all commands of one call take effect between two
 * frames, so a partition is cut at one instant.  The commands are those of
 * fabric_command.  The socket is SOCK_SEQPACKET: one message asks, one answers.
 *
 *   switch --clock
 *
 * prints CLOCK_MONOTONIC in ns: the clock of histories and events, which shells lack.
 *
 * It ends on SIGTERM or SIGINT, and when its parent ends; then the devices go away,
 * and with them the links of all hosts.
 *
 * One thread, epoll.  Frames for unknown or many receivers go to all (I1).  At most
 * READ_BATCH frames of one host are taken in a turn, so that a host that sends
 * much does not starve the others (I2). */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "switch.h"

#define READ_BATCH 64
#define EVENTS_MAX 32
#define CONTROL_BYTES_MAX 8192
#define ANSWER_BYTES_MAX 65536
#define NS_PER_S 1000000000u

/* What an event is about: a host's number, or one of these. */
enum source { SOURCE_SIGNAL = 1000, SOURCE_TIMER, SOURCE_LISTEN, SOURCE_CONTROL };

struct options {
    const char *prefix, *net, *control, *commands;
    unsigned hosts;
    uint16_t peer_port;
    uint64_t seed;
};

struct hub {
    struct options opt;
    struct fabric fabric;
    int taps[SWITCH_HOSTS_MAX + 1];
    int epoll, timer, signals, listener;
    uint64_t armed_ns; /* what the timer is set to */
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: switch --prefix NAME --hosts N --net A.B.C --peer-port P "
            "--control PATH [--seed S]\n"
            "       switch --control PATH --do 'COMMAND; ...'\n"
            "       switch --clock\n");
    return 2;
}

static int failed(const char *what)
{
    fprintf(stderr, "switch: %s: %s\n", what, strerror(errno));
    return -1;
}

/* ---- frames ---- */

static bool write_tap(void *data, unsigned dst, const uint8_t *frame, size_t len)
{
    struct hub *h = data;

    return write(h->taps[dst], frame, len) == (ssize_t)len;
}

/* The host that a frame is for, 0: all. */
static unsigned receiver(const struct hub *h, const uint8_t *frame)
{
    static const uint8_t ours[5] = { 0x02, 0x6b, 0x76, 0, 0 };

    if (memcmp(frame, ours, sizeof ours) == 0 && frame[5] >= 1 &&
        frame[5] <= h->opt.hosts)
        return frame[5];
    return 0;
}

static void take_frame(struct hub *h, unsigned src, uint8_t *frame, size_t len,
                       uint64_t now)
{
    unsigned dst;

    if (len < 14)
        return;
    dst = receiver(h, frame);
    if (dst != 0) {
        if (dst != src)
            fabric_send(&h->fabric, src, dst, frame, len, now);
        return;
    }
    for (dst = 1; dst <= h->opt.hosts; dst++) /* I1 */
        if (dst != src)
            fabric_send(&h->fabric, src, dst, frame, len, now);
}

static void read_tap(struct hub *h, unsigned src)
{
    uint8_t frame[SWITCH_FRAME_BYTES_MAX];
    const uint64_t now = now_ns();

    for (int i = 0; i < READ_BATCH; i++) { /* I2 */
        ssize_t n = read(h->taps[src], frame, sizeof frame);

        if (n <= 0)
            return;
        take_frame(h, src, frame, (size_t)n, now);
    }
}

/* Deliver what is due and set the timer to what comes next. */
static int run_queue(struct hub *h)
{
    const uint64_t next = fabric_deliver(&h->fabric, now_ns());
    struct itimerspec when = { 0 };

    if (next == h->armed_ns)
        return 0;
    if (next != UINT64_MAX) {
        when.it_value.tv_sec = (time_t)(next / NS_PER_S);
        when.it_value.tv_nsec = (long)(next % NS_PER_S);
    }
    h->armed_ns = next;
    return timerfd_settime(h->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* ---- control ---- */

/* Execute what one client asks; the answer begins with "ok" or "error". */
static void answer(struct hub *h, int fd)
{
    static char text[ANSWER_BYTES_MAX];
    char ask[CONTROL_BYTES_MAX + 1];
    ssize_t n = recv(fd, ask, CONTROL_BYTES_MAX, 0);
    size_t at = 3;
    char *save = NULL;

    if (n <= 0)
        return;
    ask[n] = '\0';
    memcpy(text, "ok\n", 4);
    for (char *line = strtok_r(ask, ";\n", &save); line != NULL;
         line = strtok_r(NULL, ";\n", &save)) {
        if (fabric_command(&h->fabric, line, text + at, sizeof text - at) != 0) {
            memmove(text + 6, text + at, strlen(text + at) + 1);
            memcpy(text, "error\n", 6);
            break;
        }
        at += strlen(text + at);
    }
    /* A client that went away needs no answer. */
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static int listen_at(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof addr.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    unlink(path);
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        listen(fd, 16) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int control_ask(const char *path, const char *commands)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    static char text[ANSWER_BYTES_MAX + 1];
    ssize_t n = -1;
    int fd;

    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0 &&
        send(fd, commands, strlen(commands), MSG_NOSIGNAL) > 0)
        n = recv(fd, text, ANSWER_BYTES_MAX, 0);
    if (n <= 0) {
        failed(path);
        return 3;
    }
    close(fd);
    text[n] = '\0';
    if (strncmp(text, "ok\n", 3) == 0) {
        fputs(text + 3, stdout);
        return 0;
    }
    fprintf(stderr, "switch: %s", text);
    return 1;
}

/* ---- the loop ---- */

static int watch(struct hub *h, int fd, uint32_t source, int data_fd)
{
    struct epoll_event e = { .events = EPOLLIN };

    e.data.u64 = (uint64_t)source << 32 | (uint32_t)data_fd;
    return epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &e);
}

static void accept_control(struct hub *h)
{
    int fd = accept(h->listener, NULL, NULL);

    if (fd >= 0 && watch(h, fd, SOURCE_CONTROL, fd) < 0)
        close(fd);
}

/* Returns whether to go on. */
static bool dispatch(struct hub *h, uint32_t source, int fd)
{
    uint64_t ticks;

    switch (source) {
    case SOURCE_SIGNAL:
        return false;
    case SOURCE_TIMER:
        if (read(h->timer, &ticks, sizeof ticks) > 0)
            h->armed_ns = UINT64_MAX;
        return true;
    case SOURCE_LISTEN:
        accept_control(h);
        return true;
    case SOURCE_CONTROL:
        answer(h, fd);
        close(fd);
        return true;
    default:
        ASSERT(source >= 1 && source <= h->opt.hosts);
        read_tap(h, source);
        return true;
    }
}

static int run(struct hub *h)
{
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int n = epoll_wait(h->epoll, events, EVENTS_MAX, -1);

        if (n < 0 && errno != EINTR)
            return failed("epoll_wait");
        for (int i = 0; i < n; i++)
            if (!dispatch(h, (uint32_t)(events[i].data.u64 >> 32),
                          (int)(uint32_t)events[i].data.u64))
                return 0;
        if (run_queue(h) < 0)
            return failed("timer");
    }
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static int open_taps(struct hub *h)
{
    for (unsigned i = 1; i <= h->opt.hosts; i++) {
        char name[128], errmsg[256];

        snprintf(name, sizeof name, "%s%u", h->opt.prefix, i);
        h->taps[i] = tap_open(name, h->opt.net, i, h->opt.hosts, errmsg,
                              sizeof errmsg);
        if (h->taps[i] < 0) {
            fprintf(stderr, "switch: %s\n", errmsg);
            return -1;
        }
        if (watch(h, h->taps[i], i, 0) < 0)
            return failed("epoll_ctl");
    }
    return 0;
}

static int open_all(struct hub *h)
{
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    h->signals = open_signals();
    h->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    h->armed_ns = UINT64_MAX;
    if (h->epoll < 0 || h->signals < 0 || h->timer < 0 ||
        watch(h, h->signals, SOURCE_SIGNAL, 0) < 0 ||
        watch(h, h->timer, SOURCE_TIMER, 0) < 0)
        return failed("cannot start");
    if (open_taps(h) < 0)
        return -1;
    h->listener = listen_at(h->opt.control);
    if (h->listener < 0 || watch(h, h->listener, SOURCE_LISTEN, 0) < 0)
        return failed(h->opt.control);
    return 0;
}

/* ---- options ---- */

static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoull(text, &end, 10);
    return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' &&
                   *ret <= max
               ? 0
               : -1;
}

static int parse_option(struct options *o, const char *name, const char *value)
{
    uint64_t v = 0;
    int rv = 0;

    if (strcmp(name, "--prefix") == 0)
        o->prefix = value;
    else if (strcmp(name, "--net") == 0)
        o->net = value;
    else if (strcmp(name, "--control") == 0)
        o->control = value;
    else if (strcmp(name, "--do") == 0)
        o->commands = value;
    else if (strcmp(name, "--seed") == 0)
        rv = parse_number(value, UINT64_MAX, &o->seed);
    else if (strcmp(name, "--hosts") == 0) {
        rv = parse_number(value, SWITCH_HOSTS_MAX, &v);
        o->hosts = (unsigned)v;
    } else if (strcmp(name, "--peer-port") == 0) {
        rv = parse_number(value, UINT16_MAX, &v);
        o->peer_port = (uint16_t)v;
    } else {
        rv = -1;
    }
    return rv;
}

int main(int argc, char **argv)
{
    static struct hub h;
    int rv;

    if (argc == 2 && strcmp(argv[1], "--clock") == 0)
        return printf("%" PRIu64 "\n", now_ns()) > 0 ? 0 : 1;
    if (argc % 2 != 1)
        return usage();
    for (int i = 1; i < argc; i += 2)
        if (parse_option(&h.opt, argv[i], argv[i + 1]) != 0)
            return usage();
    if (h.opt.control == NULL)
        return usage();
    if (h.opt.commands != NULL)
        return control_ask(h.opt.control, h.opt.commands);
    if (h.opt.prefix == NULL || h.opt.net == NULL || h.opt.hosts == 0)
        return usage();
    fabric_init(&h.fabric, h.opt.hosts, h.opt.peer_port, h.opt.seed, write_tap,
                &h);
    rv = open_all(&h);
    if (rv == 0) {
        puts("ready");
        fflush(stdout);
        rv = run(&h);
        unlink(h.opt.control);
    }
    fabric_close(&h.fabric);
    return rv == 0 ? 0 : 1;
}
