/* TAP devices, one in each host's network namespace.
 *
 * The descriptor of a TAP stays usable from any namespace, so the switch enters
 * each one in turn to make its device, and reads and writes all of them from where
 * it began.  The neighbour tables are filled for good: address resolution would
 * otherwise fail during a partition and go on failing for a while after it, which
 * is a fault that nobody asked for. */
#include "switch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEVICE "eth0"

static void fail(char *errmsg, size_t n, const char *name, const char *what)
{
    snprintf(errmsg, n, "namespace %s: %s: %s", name, what, strerror(errno));
}

static void hardware_address(unsigned host, uint8_t *ret)
{
    const uint8_t mac[6] = { 0x02, 0x6b, 0x76, 0, 0, (uint8_t)host };

    memcpy(ret, mac, sizeof mac);
}

static int host_address(const char *net, unsigned host, struct sockaddr *ret)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    char text[32];

    snprintf(text, sizeof text, "%s.%u", net, host);
    if (inet_pton(AF_INET, text, &in.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    memcpy(ret, &in, sizeof in);
    return 0;
}

static int add_neighbour(int sock, const char *net, unsigned host)
{
    struct arpreq req = { .arp_flags = ATF_PERM | ATF_COM,
                          .arp_dev = DEVICE };
    uint8_t mac[6];

    if (host_address(net, host, &req.arp_pa) < 0)
        return -1;
    hardware_address(host, mac);
    req.arp_ha.sa_family = ARPHRD_ETHER;
    memcpy(req.arp_ha.sa_data, mac, sizeof mac);
    return ioctl(sock, SIOCSARP, &req);
}

static int bring_up(int sock, const char *device)
{
    struct ifreq req = { 0 };

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", device);
    if (ioctl(sock, SIOCGIFFLAGS, &req) < 0)
        return -1;
    req.ifr_flags |= IFF_UP;
    return ioctl(sock, SIOCSIFFLAGS, &req);
}

/* Address, mask, size, up.  Returns what failed, or NULL. */
static const char *configure(int sock, const char *net, unsigned host,
                             unsigned hosts)
{
    struct ifreq req = { .ifr_name = DEVICE };
    uint8_t mac[6];

    hardware_address(host, mac);
    req.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(req.ifr_hwaddr.sa_data, mac, sizeof mac);
    if (ioctl(sock, SIOCSIFHWADDR, &req) < 0)
        return "hardware address";
    req.ifr_mtu = (int)SWITCH_MTU_BYTES;
    if (ioctl(sock, SIOCSIFMTU, &req) < 0)
        return "MTU";
    if (host_address(net, host, &req.ifr_addr) < 0 ||
        ioctl(sock, SIOCSIFADDR, &req) < 0)
        return "address";
    ((struct sockaddr_in *)&req.ifr_netmask)->sin_addr.s_addr =
        htonl(0xffffff00);
    if (ioctl(sock, SIOCSIFNETMASK, &req) < 0)
        return "netmask";
    if (bring_up(sock, "lo") < 0 || bring_up(sock, DEVICE) < 0)
        return "up";
    for (unsigned h = 1; h <= hosts; h++)
        if (h != host && add_neighbour(sock, net, h) < 0)
            return "neighbour";
    return NULL;
}

/* In the namespace already. */
static int make_device(const char *name, const char *net, unsigned host,
                       unsigned hosts, char *errmsg, size_t n)
{
    struct ifreq req = { .ifr_name = DEVICE,
                         .ifr_flags = IFF_TAP | IFF_NO_PI };
    const char *what;
    int tap, sock;

    tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap < 0) {
        fail(errmsg, n, name, "/dev/net/tun");
        return -1;
    }
    if (ioctl(tap, TUNSETIFF, &req) < 0) {
        fail(errmsg, n, name, "TUNSETIFF");
        close(tap);
        return -1;
    }
    sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    what = sock < 0 ? "socket" : configure(sock, net, host, hosts);
    if (what != NULL)
        fail(errmsg, n, name, what);
    if (sock >= 0)
        close(sock);
    if (what != NULL) {
        close(tap);
        return -1;
    }
    return tap;
}

int tap_open(const char *name, const char *net, unsigned host, unsigned hosts,
             char *errmsg, size_t n)
{
    char path[256];
    int home, there, tap = -1;

    snprintf(path, sizeof path, "/run/netns/%s", name);
    home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    there = open(path, O_RDONLY | O_CLOEXEC);
    if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0) {
        fail(errmsg, n, name, "cannot enter it");
    } else {
        tap = make_device(name, net, host, hosts, errmsg, n);
        if (setns(home, CLONE_NEWNET) < 0) {
            fail(errmsg, n, name, "cannot leave it");
            if (tap >= 0)
                close(tap);
            tap = -1;
        }
    }
    if (there >= 0)
        close(there);
    if (home >= 0)
        close(home);
    return tap;
}
