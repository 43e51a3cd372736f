/* A pool of threads for the kernels' parallel regions, one a process (a library that all kernel modules share).

GNU OpenMP's threads spin for milliseconds after each region, and are in the way of whatever runs next: NumPy's matmul
after one of our operations took 4 to 20 times as long. Ours spin for 200 us, which is longer than the Python between
two operations of a training step, give their core to anyone who wants it meanwhile, and then sleep.

A region's shares are fixed when it starts, by the number of workers that are idle then. Work is cut by shape and each
share loops over slots, so a team of any size, one included, gives the same bits. Nobody waits for a thread that has
not begun: the caller takes back shares that no worker has started.

Each worker has a word that says what it is at: IDLE, or a ticket of a region with GIVEN or RUNNING. The lowest bit of
this and of the other words that are waited for says that somebody sleeps until it changes. */
#define _GNU_SOURCE
#include "threads.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef atomic_uint Word;

enum { SLEEPS = 1, IDLE = 0, GIVEN = 2, RUNNING = 4, TICKET = 8 };
enum { MOST_WORKERS = 1023, CACHE_LINE = 64 };

/* For work of unknown time to come, and for that of others in a region that has begun. */
static const long long SPIN_IDLE_NS = 200000, SPIN_REGION_NS = 1000000;
/* For so long it is remembered how many threads wanted teams at the same time. */
static const long long CROWD_NS = 10000000;

typedef struct {
    void (*body)(void *);
    void *data;
    unsigned size;
    _Alignas(CACHE_LINE) Word left; /* twice the shares that workers have not finished */
    _Alignas(CACHE_LINE) Word phase; /* twice the barriers that all have passed */
    atomic_uint arrived;
} Team;

typedef struct {
    _Alignas(CACHE_LINE) Word state;
    Team *team;
    atomic_uint number;
} Worker;

static struct {
    atomic_flag giving; /* whoever holds it may start workers, give shares to idle ones, and change these: */
    unsigned ticket, crowd;
    long long crowd_seen;
    atomic_uint count;
    _Alignas(CACHE_LINE) atomic_uint callers; /* now in regions */
    Worker workers[MOST_WORKERS];
} pool = {.giving = ATOMIC_FLAG_INIT};

static _Thread_local struct {
    Team *team;
    unsigned number;
} mine;

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Return when the word is no longer `value`: awake at first, asleep after a time. */
static void wait_while(Word *word, unsigned value, long long spin) {
    for (long long end = 0, time = 0; time <= end; time = now()) {
        for (int i = 0; i < 32; i++) {
            if ((atomic_load(word) & ~SLEEPS) != value) return;
            relax();
        }
        if (end == 0) end = now() + spin;
        sched_yield();
    }
    for (unsigned seen = atomic_load(word); (seen & ~SLEEPS) == value; seen = atomic_load(word))
        if (seen & SLEEPS || atomic_compare_exchange_strong(word, &seen, value | SLEEPS))
            syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value | SLEEPS, NULL, NULL, 0);
}

/* The word may be gone by now: only its address is used. */
static void wake(Word *word, unsigned before) {
    if (before & SLEEPS) syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void run_share(Team *team, unsigned number) {
    const __typeof__(mine) before = mine;
    mine.team = team;
    mine.number = number;
    team->body(team->data);
    mine = before;
}

static void *work(void *argument) {
    Worker *self = argument;
    for (;;) {
        wait_while(&self->state, IDLE, SPIN_IDLE_NS);
        unsigned given = atomic_load(&self->state);
        if (!(given & GIVEN) || !atomic_compare_exchange_strong(&self->state, &given, (given & ~GIVEN) | RUNNING))
            continue; /* taken back */
        Team *team = self->team;
        run_share(team, self->number);
        /* Idle before the caller knows, so that its next region finds it so. */
        atomic_store(&self->state, IDLE);
        wake(&team->left, atomic_fetch_sub(&team->left, 2));
    }
    return NULL;
}

static int start_worker(Worker *worker) {
    pthread_t thread;
    sigset_t all, before;
    /* Signals are for the threads that Python knows. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) pthread_detach(thread);
    return !failed;
}

/* Give shares 1, 2, ... to workers that are idle, at most so many that all callers get alike; returns the ticket. */
static unsigned give(Team *team, unsigned most, unsigned callers) {
    if (atomic_flag_test_and_set(&pool.giving)) return 0;
    const long long time = now();
    if (callers >= pool.crowd || time - pool.crowd_seen > CROWD_NS) {
        pool.crowd = callers;
        pool.crowd_seen = time;
    }
    most = most < MOST_WORKERS + 1 ? most / pool.crowd : (MOST_WORKERS + 1) / pool.crowd;
    unsigned count = atomic_load(&pool.count), ticket = pool.ticket += TICKET;
    while (count + 1 < most && start_worker(&pool.workers[count])) count++;
    atomic_store(&pool.count, count);
    for (unsigned i = 0; i < count && team->size < most; i++)
        team->size += (atomic_load(&pool.workers[i].state) & ~SLEEPS) == IDLE;
    atomic_store(&team->left, 2 * (team->size - 1));
    for (unsigned i = 0, number = 1; number < team->size; i++) {
        Worker *worker = &pool.workers[i];
        if ((atomic_load(&worker->state) & ~SLEEPS) != IDLE) continue;
        worker->team = team;
        atomic_store(&worker->number, number++);
        wake(&worker->state, atomic_exchange(&worker->state, ticket | GIVEN));
    }
    atomic_flag_clear(&pool.giving);
    return ticket;
}

/* Do what no worker has begun, and wait for the rest. */
static void finish(Team *team, unsigned ticket) {
    for (unsigned i = 0, count = atomic_load(&pool.count); i < count; i++) {
        const unsigned number = atomic_load(&pool.workers[i].number);
        unsigned given = ticket | GIVEN;
        if (!atomic_compare_exchange_strong(&pool.workers[i].state, &given, IDLE)) continue;
        run_share(team, number);
        atomic_fetch_sub(&team->left, 2);
    }
    for (unsigned left; (left = atomic_load(&team->left) & ~SLEEPS) != 0;)
        wait_while(&team->left, left, SPIN_REGION_NS);
}

void minidl_team_run(void (*body)(void *), void *data, unsigned most) {
    Team team = {.body = body, .data = data, .size = 1};
    if (most <= 1 || mine.team != NULL) {
        run_share(&team, 0);
        return;
    }
    const unsigned ticket = give(&team, most, atomic_fetch_add(&pool.callers, 1) + 1);
    run_share(&team, 0);
    if (team.size > 1) finish(&team, ticket);
    atomic_fetch_sub(&pool.callers, 1);
}

void minidl_team_barrier(void) {
    Team *team = mine.team;
    if (team == NULL || team->size == 1) return;
    const unsigned phase = atomic_load(&team->phase) & ~SLEEPS;
    if (atomic_fetch_add(&team->arrived, 1) + 1 == team->size) {
        atomic_store(&team->arrived, 0);
        wake(&team->phase, atomic_exchange(&team->phase, phase + 2));
    } else {
        wait_while(&team->phase, phase, SPIN_REGION_NS);
    }
}

unsigned minidl_team_number(void) { return mine.number; }

unsigned minidl_team_size(void) { return mine.team == NULL ? 1 : mine.team->size; }

/* The threads are the parent's: a child starts its own. */
static void forget(void) {
    atomic_flag_clear(&pool.giving);
    atomic_store(&pool.callers, 0);
    for (unsigned i = 0; i < atomic_load(&pool.count); i++) atomic_store(&pool.workers[i].state, IDLE);
    atomic_store(&pool.count, 0);
}

__attribute__((constructor)) static void prepare(void) { pthread_atfork(NULL, NULL, forget); }
