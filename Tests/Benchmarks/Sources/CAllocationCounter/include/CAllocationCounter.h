// SPDX-License-Identifier: Apache-2.0

#ifndef C_ALLOCATION_COUNTER_H
#define C_ALLOCATION_COUNTER_H

#include <stdint.h>

/// The heap allocations of the process so far, on all threads; growing a block counts as one.
///
/// Always 0 where malloc cannot be replaced by the executable: elsewhere than with glibc.
uint64_t dovetail_allocation_count(void);

/// The bytes that were asked for in those allocations.
uint64_t dovetail_allocation_bytes(void);

#endif
