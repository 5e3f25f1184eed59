/* lockstep: one message out, one answer back, over each of N connections; for what wrk cannot do.
 *
 *   closed loop   the next message leaves when the answer is there
 *   open loop     --rate: messages leave at Poisson times, and latency counts from the time a message was
 *                 due, whether or not a connection was free (no coordinated omission); one that was never
 *                 answered counts with the time it had waited by the end
 *   --hold        each connection does one exchange, then all stay open until standard input ends
 *
 * It knows two kinds of answer: an HTTP/1.1 response with Content-Length, and the echo of a WebSocket
 * message. One thread, epoll, no allocation per message. Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 18, DRAIN_SECONDS = 2, SOCKET_SECONDS = 10, TICK_NS = 100 };

typedef struct {
    int fd;
    int busy;
    uint64_t due; /* when the message in flight was due */
    size_t have;
    char *in;
} Conn;

typedef struct {
    uint32_t *values; /* in units of TICK_NS */
    size_t count, room;
} Samples;

static struct {
    int port, connections, hold;
    const char *path;
    double seconds, rate;
    uint64_t limit;
    size_t websocket;
} opt = {.connections = 64, .seconds = 3, .limit = UINT64_MAX};

static char *request, *handshake, *payload;
static size_t request_length, handshake_length;
static uint64_t sent, answered, err_connect, err_read, err_status, err_timeout;
static Samples latency, lateness;
static int epoll_fd = -1;

static void die(const char *what) {
    fprintf(stderr, "lockstep: %s: %s\n", what, errno ? strerror(errno) : "bad argument");
    exit(2);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Exponential gap between arrivals, mean 1/rate; a fixed seed, so every server gets the same arrivals. */
static uint64_t gap_ns(void) {
    static uint64_t state = 0x9E3779B97F4A7C15u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    double u = ((double)(state >> 11) + 0.5) / 9007199254740992.0;
    return (uint64_t)(-log(u) / opt.rate * 1e9);
}

static void record(Samples *s, uint64_t ns) {
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 1 << 20;
        s->values = realloc(s->values, s->room * sizeof *s->values);
        if (!s->values) die("realloc");
    }
    uint64_t ticks = ns / TICK_NS;
    s->values[s->count++] = ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Microseconds below which the share `p` of the sorted samples lies. */
static double percentile(const Samples *s, double p) {
    if (!s->count) return 0;
    size_t rank = (size_t)(p * (double)s->count);
    return s->values[rank < s->count ? rank : s->count - 1] * (TICK_NS / 1000.0);
}

/* ---- connections ---- */

static int connected_socket(void) {
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    struct timeval wait = {.tv_sec = SOCKET_SECONDS};
    int one = 1, result, fd = socket(opt.path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (opt.path) {
        strncpy(local.sun_path, opt.path, sizeof local.sun_path - 1);
        result = connect(fd, (struct sockaddr *)&local, sizeof local);
    } else {
        inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        result = connect(fd, (struct sockaddr *)&inet, sizeof inet);
    }
    if (result == 0) return fd;
    close(fd);
    return -1;
}

static int send_all(int fd, const char *data, size_t length) {
    while (length) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (poll(&p, 1, SOCKET_SECONDS * 1000) <= 0) return -1;
        } else if (n < 0) {
            return -1;
        } else {
            data += n;
            length -= (size_t)n;
        }
    }
    return 0;
}

/* The upgrade, blocking: 101 and the end of the head. The server has no reason to say more unasked. */
static int upgraded(int fd) {
    char in[8192];
    size_t have = 0;
    if (send_all(fd, handshake, handshake_length)) return 0;
    while (have < sizeof in) {
        ssize_t n = recv(fd, in + have, sizeof in - have, 0);
        if (n <= 0) return 0;
        have += (size_t)n;
        if (have > 12 && memcmp(in + 9, "101", 3)) return 0;
        if (memmem(in, have, "\r\n\r\n", 4)) return 1;
    }
    return 0;
}

static int open_conn(Conn *c) {
    c->have = 0;
    c->busy = 0;
    c->fd = connected_socket();
    if (c->fd < 0) return -1;
    if (handshake && !upgraded(c->fd)) {
        close(c->fd);
        c->fd = -1;
        return -1;
    }
    return 0;
}

static void watch(Conn *c) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    struct timeval none = {0};
    int nonblocking = 1;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
    if (ioctl(c->fd, FIONBIO, &nonblocking)) die("ioctl");
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
}

static void lost(Conn *c) {
    if (c->busy) err_read++;
    close(c->fd);
    if (open_conn(c) == 0)
        watch(c);
    else
        err_connect++;
}

/* ---- answers: length of the complete answer that the buffer begins with, 0 if not yet, -1 if wrong ---- */

static ssize_t http_answer(const char *in, size_t have) {
    const char *end = memmem(in, have, "\r\n\r\n", 4);
    if (!end) return have == ROOM ? -1 : 0;
    if (memcmp(in, "HTTP/1.", 7)) return -1;
    size_t head = (size_t)(end - in) + 4;
    const char *line = in;
    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        if (!strncasecmp(++line, "content-length:", 15)) {
            size_t total = head + strtoul(line + 15, NULL, 10);
            if (total > ROOM) return -1;
            if (have < total) return 0;
            if (in[9] != '2') err_status++;
            return (ssize_t)total;
        }
    }
    return -1;
}

static ssize_t websocket_answer(int fd, const char *in, size_t have) {
    const unsigned char *b = (const unsigned char *)in;
    if (have < 2) return 0;
    size_t length = b[1] & 0x7f, head = 2;
    if (b[1] & 0x80) return -1; /* a server does not mask */
    if (length == 126) {
        if (have < 4) return 0;
        length = (size_t)b[2] << 8 | b[3], head = 4;
    } else if (length == 127) {
        return -1; /* no message of ours is that long */
    }
    if (have < head + length) return 0;
    if (b[0] == 0x89) { /* ping: a pong with an all-zero mask key carries the payload as it is */
        char pong[6 + 125] = {(char)0x8a, (char)(0x80 | length)};
        memcpy(pong + 6, in + head, length);
        return send_all(fd, pong, 6 + length) ? -1 : (ssize_t)(head + length);
    }
    if (b[0] != 0x82 || length != opt.websocket || memcmp(in + head, payload, length)) return -1;
    return (ssize_t)(head + length);
}

/* Reads what is there: 1 when the awaited answer is complete, 0 when not, -1 when the connection is lost. */
static int take(Conn *c) {
    ssize_t n = recv(c->fd, c->in + c->have, ROOM - c->have, 0), used;
    if (n <= 0) return n < 0 && errno == EAGAIN ? 0 : -1;
    c->have += (size_t)n;
    while (c->have) {
        int control = opt.websocket && (unsigned char)c->in[0] == 0x89;
        used = opt.websocket ? websocket_answer(c->fd, c->in, c->have) : http_answer(c->in, c->have);
        if (used <= 0) return (int)used;
        c->have -= (size_t)used;
        memmove(c->in, c->in + used, c->have);
        if (!control) return c->busy && !c->have ? 1 : -1; /* bytes nobody asked for are an error */
    }
    return 0;
}

static void start(Conn *c, uint64_t due) {
    if (c->fd < 0) {
        err_connect++;
        return;
    }
    c->busy = 1;
    c->due = due;
    sent++;
    if (send_all(c->fd, request, request_length)) shutdown(c->fd, SHUT_RDWR); /* the next read reports it */
}

/* ---- the two loops ---- */

static Conn *finish(Conn *c) {
    int done = take(c);
    if (done < 0) {
        lost(c);
        return c->fd < 0 ? NULL : c;
    }
    if (!done) return NULL;
    record(&latency, now_ns() - c->due);
    answered++;
    c->busy = 0;
    return c;
}

static void closed_loop(Conn *conns, uint64_t stop) {
    struct epoll_event events[256];
    for (int i = 0; i < opt.connections && sent < opt.limit; i++) start(&conns[i], now_ns());
    while (now_ns() < stop && answered + err_read < opt.limit) {
        int n = epoll_wait(epoll_fd, events, 256, 100);
        for (int i = 0; i < n; i++) {
            Conn *c = finish(events[i].data.ptr);
            if (c && !c->busy && sent < opt.limit) start(c, now_ns());
        }
    }
}

/* Due messages wait in line for a free connection; both lists are bounded by what the run can produce. */
static void open_loop(Conn *conns, uint64_t stop) {
    struct epoll_event events[256];
    size_t room = (size_t)(opt.rate * opt.seconds * 1.5) + 4096, first = 0, last = 0, free_count = 0;
    uint64_t *line = malloc(room * sizeof *line), due = now_ns() + gap_ns();
    Conn **idle = malloc((size_t)opt.connections * sizeof *idle);
    if (!line || !idle) die("malloc");
    for (int i = 0; i < opt.connections; i++) idle[free_count++] = &conns[i];
    for (uint64_t now; (now = now_ns()) < stop;) {
        int unhindered = first == last && free_count > 0;
        for (; due <= now && last < room; due += gap_ns()) line[last++] = due;
        while (first < last && free_count) {
            if (unhindered) record(&lateness, now_ns() - line[first]);
            start(idle[--free_count], line[first++]);
        }
        int n = epoll_wait(epoll_fd, events, 256, 0);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            int was_busy = c->busy;
            c = finish(c);
            if (c && was_busy) idle[free_count++] = c;
        }
    }
    err_timeout += last - first; /* due, never sent: the server could not keep up */
    while (first < last) record(&latency, now_ns() - line[first++]);
    free(line);
    free(idle);
}

static void drain(Conn *conns) {
    struct epoll_event events[256];
    uint64_t stop = now_ns() + DRAIN_SECONDS * 1000000000ull;
    int waiting = 0;
    for (int i = 0; i < opt.connections; i++) waiting += conns[i].busy;
    while (waiting > 0 && now_ns() < stop) {
        int n = epoll_wait(epoll_fd, events, 256, 100);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            int was_busy = c->busy;
            finish(c);
            waiting -= was_busy && !c->busy;
        }
    }
    for (int i = 0; i < opt.connections; i++) {
        if (!conns[i].busy) continue;
        err_timeout++;
        record(&latency, now_ns() - conns[i].due);
    }
}

/* ---- start ---- */

static char *whole_file(const char *name, size_t *length) {
    FILE *f = fopen(name, "rb");
    char *data = malloc(1 << 16);
    if (!f || !data) die(name);
    *length = fread(data, 1, 1 << 16, f);
    fclose(f);
    return data;
}

/* One masked binary frame; the mask is fixed, so that building it costs nothing per message. */
static void build_frame(void) {
    static const unsigned char mask[4] = {0x1f, 0x9b, 0x35, 0xe2};
    size_t n = opt.websocket, head = n < 126 ? 2 : 4;
    payload = malloc(n);
    request = malloc(n + 8);
    if (!payload || !request || n > 65535) die("--websocket");
    request[0] = (char)0x82;
    request[1] = (char)(0x80 | (n < 126 ? n : 126));
    if (head == 4) request[2] = (char)(n >> 8), request[3] = (char)n;
    memcpy(request + head, mask, 4);
    for (size_t i = 0; i < n; i++) {
        payload[i] = (char)('a' + i % 26);
        request[head + 4 + i] = (char)(payload[i] ^ mask[i % 4]);
    }
    request_length = head + 4 + n;
}

static void parse(int argc, char **argv) {
    static const struct option names[] = {
        {"port", 1, 0, 'p'},    {"unix", 1, 0, 'u'},      {"connections", 1, 0, 'c'}, {"seconds", 1, 0, 's'},
        {"rate", 1, 0, 'r'},    {"limit", 1, 0, 'n'},     {"websocket", 1, 0, 'w'},   {"hold", 0, 0, 'h'},
        {"request", 1, 0, 'q'}, {"handshake", 1, 0, 'k'}, {0},
    };
    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (o) {
        case 'p': opt.port = atoi(optarg); break;
        case 'u': opt.path = optarg; break;
        case 'c': opt.connections = atoi(optarg); break;
        case 's': opt.seconds = atof(optarg); break;
        case 'r': opt.rate = atof(optarg); break;
        case 'n': opt.limit = strtoull(optarg, NULL, 10); break;
        case 'w': opt.websocket = strtoul(optarg, NULL, 10); break;
        case 'h': opt.hold = 1; break;
        case 'q': request = whole_file(optarg, &request_length); break;
        case 'k': handshake = whole_file(optarg, &handshake_length); break;
        default: exit(2);
        }
    }
    if (opt.websocket) build_frame();
    if (!request || (!opt.port && !opt.path) || opt.connections < 1) die("arguments");
}

static void report(uint64_t began) {
    struct rusage used;
    double seconds = (double)(now_ns() - began) / 1e9;
    getrusage(RUSAGE_SELF, &used);
    if (latency.count) qsort(latency.values, latency.count, sizeof(uint32_t), ascending);
    if (lateness.count) qsort(lateness.values, lateness.count, sizeof(uint32_t), ascending);
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, "
           "\"max\": %.1f, \"late_p99\": %.1f, "
           "\"connect\": %llu, \"read\": %llu, \"status\": %llu, \"timeout\": %llu}\n",
           (unsigned long long)answered, seconds, percentile(&latency, 0.5), percentile(&latency, 0.99),
           percentile(&latency, 0.999), percentile(&latency, 1), percentile(&lateness, 0.99),
           (unsigned long long)err_connect, (unsigned long long)err_read, (unsigned long long)err_status,
           (unsigned long long)err_timeout);
    fflush(stdout);
}

static void hold(Conn *conns, char *shared, uint64_t began) {
    char end;
    for (int i = 0; i < opt.connections; i++) {
        Conn *c = &conns[i];
        int done = 0;
        c->in = shared;
        if (open_conn(c)) {
            err_connect++;
            continue;
        }
        start(c, now_ns());
        uint64_t stop = now_ns() + SOCKET_SECONDS * 1000000000ull;
        while (!done && now_ns() < stop) done = take(c);
        if (done == 1) {
            record(&latency, now_ns() - c->due);
            answered++;
        } else {
            err_read++;
        }
        c->busy = 0;
    }
    report(began);
    while (read(0, &end, 1) > 0) {}
}

int main(int argc, char **argv) {
    parse(argc, argv);
    Conn *conns = calloc((size_t)opt.connections, sizeof *conns);
    char *buffers = malloc(opt.hold ? ROOM : (size_t)opt.connections * ROOM);
    if (!conns || !buffers) die("malloc");
    if (opt.hold) {
        hold(conns, buffers, now_ns());
        return 0;
    }
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < opt.connections; i++) {
        conns[i].in = buffers + (size_t)i * ROOM;
        if (open_conn(&conns[i]))
            err_connect++;
        else
            watch(&conns[i]);
    }
    uint64_t began = now_ns(), stop = began + (uint64_t)(opt.seconds * 1e9);
    if (opt.rate > 0)
        open_loop(conns, stop);
    else
        closed_loop(conns, stop);
    drain(conns);
    report(began);
    return 0;
}
