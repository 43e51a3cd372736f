/* Who runs a kernel's parallel regions: minidl's own pool (threads.c), the compiler's OpenMP, or the caller alone. */
#ifndef MINIDL_THREADS_H
#define MINIDL_THREADS_H

#ifdef MINIDL_POOL

#pragma GCC visibility push(default)
/* Run body(data) once for each number below the size of a team of at most `most` threads, the caller among them. */
void minidl_team_run(void (*body)(void *), void *data, unsigned most);
unsigned minidl_team_number(void);
unsigned minidl_team_size(void);
void minidl_team_barrier(void);
#pragma GCC visibility pop

#elif defined(_OPENMP)

static inline void minidl_team_barrier(void) {
#pragma omp barrier
}

#else

static inline void minidl_team_barrier(void) {}

#endif

static inline const char *minidl_threads_by(void) {
#if defined(MINIDL_POOL)
    return "minidl's pool";
#elif defined(_OPENMP)
    return "OpenMP";
#else
    return "none";
#endif
}

#endif
