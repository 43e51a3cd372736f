/* The widest vectors of the instruction set that this is compiled for. */
#ifndef MINIDL_VECTOR_H
#define MINIDL_VECTOR_H

#if defined(__AVX512F__)
#define MINIDL_VECTOR_BYTES 64
#elif defined(__AVX__)
#define MINIDL_VECTOR_BYTES 32
#else
#define MINIDL_VECTOR_BYTES 16
#endif

#endif
