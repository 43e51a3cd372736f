/* The calls that GCC makes where a kernel has a parallel region (libgomp's binary interface), handed to minidl's pool.

Linked into each kernel module and hidden there, so that neither does another libgomp in the process answer these
calls, nor do these answer anybody else's. */
#include "threads.h"

#pragma GCC visibility push(hidden)

void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
void GOMP_barrier(void);
int omp_get_thread_num(void);
int omp_get_num_threads(void);
int omp_get_max_threads(void);

void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags) {
    (void)flags;
    minidl_team_run(body, data, threads);
}

/* GCC puts one before every loop of a prange, between copying the loop's variables in and writing the last values
   back. Kernels read neither, and the caller would have to wait for threads that are still asleep before it can begin.
   Where a kernel needs a barrier it calls minidl_team_barrier. */
void GOMP_barrier(void) {}

int omp_get_thread_num(void) { return (int)minidl_team_number(); }

int omp_get_num_threads(void) { return (int)minidl_team_size(); }

/* For num_threads=0, which no kernel passes. */
int omp_get_max_threads(void) { return 1; }
