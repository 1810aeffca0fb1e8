// SPDX-License-Identifier: Apache-2.0

// Tells the thread sanitizer about the slow paths of Synchronization.Mutex on Linux.
//
// The fast paths are compiled into the code that is sanitized; the slow ones, taken when two threads want the lock at once, are in
// a library that is not, so the sanitizer does not see that they order memory and reports races where there are none. Loaded
// first (LD_PRELOAD), these functions stand in for the slow paths: they call them, and say what they did.

#define _GNU_SOURCE
#include <dlfcn.h>

#if !defined(__x86_64__)
#error "Written for x86-64: Swift passes `self` in r13 there."
#endif

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

__attribute__((visibility("hidden"))) void *dovetail_lock;
__attribute__((visibility("hidden"))) void *dovetail_unlock;

__attribute__((weak)) void __tsan_acquire(void *address);
__attribute__((weak)) void __tsan_release(void *address);

__attribute__((visibility("hidden"), used)) void dovetail_locked(void *mutex) {
    if (__tsan_acquire) __tsan_acquire(mutex);
}

__attribute__((visibility("hidden"), used)) void dovetail_unlocking(void *mutex) {
    if (__tsan_release) __tsan_release(mutex);
}

__attribute__((constructor)) static void find(void) {
    dovetail_lock = dlsym(RTLD_NEXT, LOCK);
    dovetail_unlock = dlsym(RTLD_NEXT, UNLOCK);
}

__asm__(
    ".text\n"
    ".globl \"" LOCK "\"\n"
    ".type \"" LOCK "\", @function\n"
    "\"" LOCK "\":\n"
    "    push %r13\n"
    "    call *dovetail_lock(%rip)\n"
    "    mov (%rsp), %rdi\n"
    "    call dovetail_locked\n"
    "    pop %r13\n"
    "    ret\n"
    ".globl \"" UNLOCK "\"\n"
    ".type \"" UNLOCK "\", @function\n"
    "\"" UNLOCK "\":\n"
    "    push %r13\n"
    "    mov %r13, %rdi\n"
    "    call dovetail_unlocking\n"
    "    mov (%rsp), %r13\n"
    "    call *dovetail_unlock(%rip)\n"
    "    pop %r13\n"
    "    ret\n");
