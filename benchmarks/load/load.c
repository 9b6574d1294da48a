/* Load for the fault proxy's benchmark, on loopback: a server, and clients that print one "name value" per line.
 *
 *   load serve                          prints its port; the first byte of a connection says what it wants:
 *                                       e echo, s sink, g generate for ever, r one reply of the request's size, close
 *   load pingpong PORT ROUNDS           100-byte round trips on one connection: p50_us, p99_us
 *   load bulk up|down PORT SECONDS      one connection: mb_per_s
 *   load connect PORT SECONDS THREADS   connect, 100-byte request and reply, close: per_s
 *   load hold PORT COUNT                opens COUNT connections, echoes once on each, prints held, waits for stdin to end
 *
 * Threads with blocking sockets: on loopback nothing is cheaper for so few connections.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 100, BUFFER = 1 << 18 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int all(int fd, char *data, size_t size, int writing) {
    for (size_t done = 0; done < size;) {
        ssize_t n = writing ? write(fd, data + done, size - done) : read(fd, data + done, size - done);
        if (n <= 0) return 0;
        done += n;
    }
    return 1;
}

static int dial(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

static void *serve_one(void *argument) {
    int fd = (int)(intptr_t)argument;
    char wanted, *buffer = calloc(1, BUFFER);
    ssize_t n;
    if (all(fd, &wanted, 1, 0)) {
        if (wanted == 'e')
            while ((n = read(fd, buffer, BUFFER)) > 0 && all(fd, buffer, n, 1)) {}
        else if (wanted == 's')
            while (read(fd, buffer, BUFFER) > 0) {}
        else if (wanted == 'g')
            while (write(fd, buffer, BUFFER) > 0) {}
        else if (all(fd, buffer, MESSAGE - 1, 0))
            all(fd, buffer, MESSAGE, 1);
    }
    close(fd);
    free(buffer);
    return NULL;
}

static void serve(void) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    int listening = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    pthread_attr_t small;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listening, (struct sockaddr *)&at, sizeof at) || listen(listening, 4096)) fail("listen");
    getsockname(listening, (struct sockaddr *)&at, &size);
    printf("port %d\n", ntohs(at.sin_port));
    fflush(stdout);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (;;) {
        pthread_t thread;
        int fd = accept(listening, NULL, NULL);
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (pthread_create(&thread, &small, serve_one, (void *)(intptr_t)fd)) close(fd);
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void pingpong(int port, int rounds) {
    double *took = malloc(rounds * sizeof *took);
    char message[MESSAGE] = {0}, mode = 'e';
    int fd = dial(port), warm = rounds / 20 + 1;
    all(fd, &mode, 1, 1);
    for (int i = -warm; i < rounds; i++) {
        double began = now();
        if (!all(fd, message, MESSAGE, 1) || !all(fd, message, MESSAGE, 0)) fail("pingpong");
        if (i >= 0) took[i] = now() - began;
    }
    qsort(took, rounds, sizeof *took, ascending);
    printf("p50_us %.2f\np99_us %.2f\n", took[rounds / 2] * 1e6, took[(int)(rounds * 0.99)] * 1e6);
}

static void bulk(int up, int port, double seconds) {
    char *buffer = calloc(1, BUFFER), mode = up ? 's' : 'g';
    int fd = dial(port);
    double began = now(), total = 0;
    all(fd, &mode, 1, 1);
    while (now() < began + seconds) {
        ssize_t n = up ? write(fd, buffer, BUFFER) : read(fd, buffer, BUFFER);
        if (n <= 0) fail("bulk");
        total += n;
    }
    printf("mb_per_s %.2f\n", total / (now() - began) / 1e6);
}

static int connect_port;
static double connect_until;
static atomic_long connected;

static void *connect_some(void *unused) {
    struct linger at_once = {1, 0}; /* no TIME_WAIT: ports would run out */
    char message[MESSAGE] = {'r'};
    while (now() < connect_until) {
        int fd = dial(connect_port);
        message[0] = 'r';
        if (!all(fd, message, MESSAGE, 1) || !all(fd, message, MESSAGE, 0)) fail("request");
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
        connected++;
    }
    return unused;
}

static void connects(int port, double seconds, int threads) {
    pthread_t *all_threads = malloc(threads * sizeof *all_threads);
    double began = now();
    connect_port = port;
    connect_until = began + seconds;
    for (int i = 0; i < threads; i++) pthread_create(&all_threads[i], NULL, connect_some, NULL);
    for (int i = 0; i < threads; i++) pthread_join(all_threads[i], NULL);
    printf("per_s %.1f\n", connected / (now() - began));
}

static void hold(int port, int count) {
    for (int i = 0; i < count; i++) {
        char echoed[2] = "e";
        int fd = dial(port);
        if (!all(fd, echoed, 2, 1) || !all(fd, echoed, 1, 0)) fail("hold");
    }
    printf("held %d\n", count);
    fflush(stdout);
    while (getchar() != EOF) {}
}

int main(int count, char **given) {
    struct rlimit files = {65536, 65536};
    signal(SIGPIPE, SIG_IGN);
    if (setrlimit(RLIMIT_NOFILE, &files)) {
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    const char *what = count > 1 ? given[1] : "";
    if (!strcmp(what, "serve")) serve();
    else if (!strcmp(what, "pingpong") && count == 4) pingpong(atoi(given[2]), atoi(given[3]));
    else if (!strcmp(what, "bulk") && count == 5) bulk(!strcmp(given[2], "up"), atoi(given[3]), atof(given[4]));
    else if (!strcmp(what, "connect") && count == 5) connects(atoi(given[2]), atof(given[3]), atoi(given[4]));
    else if (!strcmp(what, "hold") && count == 4) hold(atoi(given[2]), atoi(given[3]));
    else {
        fprintf(stderr, "the head of load.c says what there is\n");
        return 2;
    }
    return 0;
}
