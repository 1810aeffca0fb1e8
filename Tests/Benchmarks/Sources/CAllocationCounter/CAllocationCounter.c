// SPDX-License-Identifier: Apache-2.0

#include "CAllocationCounter.h"

#include <stdatomic.h>
#include <stddef.h>

static _Atomic uint64_t count;
static _Atomic uint64_t bytes;

uint64_t dovetail_allocation_count(void) { return atomic_load_explicit(&count, memory_order_relaxed); }
uint64_t dovetail_allocation_bytes(void) { return atomic_load_explicit(&bytes, memory_order_relaxed); }

#ifdef __linux__
#include <errno.h>
#include <features.h>
#endif

#ifdef __GLIBC__

// What an executable defines goes before what a shared library does, also for calls from other libraries, the Swift
// runtime among them. The memory itself comes from glibc, so `free` stays as it is.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static void note(size_t size) {
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&bytes, size, memory_order_relaxed);
}

void *malloc(size_t size) {
    note(size);
    return __libc_malloc(size);
}

void *calloc(size_t elements, size_t size) {
    note(elements * size);
    return __libc_calloc(elements, size);
}

void *realloc(void *block, size_t size) {
    note(size);
    return __libc_realloc(block, size);
}

void *memalign(size_t alignment, size_t size) {
    note(size);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    note(size);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
    note(size);
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
    void *found = __libc_memalign(alignment, size);
    if (found == NULL) return ENOMEM;
    *block = found;
    return 0;
}

#endif
