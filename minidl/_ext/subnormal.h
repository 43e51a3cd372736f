/* Arithmetic that takes subnormal numbers for zero, for as long as a kernel asks for it. */
#ifndef MINIDL_SUBNORMAL_H
#define MINIDL_SUBNORMAL_H

#if defined(__SSE__)
/* Flush to zero, and denormals are zero, of this thread; returns what was set before. */
static inline unsigned minidl_flush_subnormals(void) {
    const unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040);
    return before;
}

static inline void minidl_restore_subnormals(unsigned before) { __builtin_ia32_ldmxcsr(before); }
#else
static inline unsigned minidl_flush_subnormals(void) { return 0; }
static inline void minidl_restore_subnormals(unsigned before) { (void)before; }
#endif

#endif
