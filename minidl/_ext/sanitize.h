/* Kernels tell AddressSanitizer (make sanitize) so; any other build compiles nothing here. */
#ifndef MINIDL_SANITIZE_H
#define MINIDL_SANITIZE_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MINIDL_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define MINIDL_SANITIZED 1
#endif

#ifdef MINIDL_SANITIZED

#include <sanitizer/asan_interface.h>

/* From here on any access to these bytes is an error. */
static inline void minidl_forbid(void *start, size_t bytes) { __asan_poison_memory_region(start, bytes); }

/* BLAS was compiled without checks, so its operands are looked at before: touch the first byte that is forbidden. */
static inline void minidl_check_matrix(const void *start, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t row_length,
                                       size_t itemsize) {
    if (rows <= 0 || columns <= 0) return;
    const size_t bytes = (size_t)((rows - 1) * row_length + columns) * itemsize;
    const volatile char *forbidden = (const volatile char *)__asan_region_is_poisoned((void *)start, bytes);
    if (forbidden) (void)*forbidden;
}

#else

#define MINIDL_SANITIZED 0

static inline void minidl_forbid(void *start, size_t bytes) {
    (void)start;
    (void)bytes;
}

static inline void minidl_check_matrix(const void *start, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t row_length,
                                       size_t itemsize) {
    (void)start;
    (void)rows;
    (void)columns;
    (void)row_length;
    (void)itemsize;
}

#endif

#endif
