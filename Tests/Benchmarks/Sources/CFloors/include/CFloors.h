// SPDX-License-Identifier: Apache-2.0

#ifndef C_FLOORS_H
#define C_FLOORS_H

#include <stddef.h>
#include <stdint.h>

/// Takes a value so that the work that led to it cannot be left out.
void floor_sink(const void *value);

/// The 36 characters of a UUID by a table of digits, one byte at a time.
void floor_uuid_text(uint64_t high, uint64_t low, char *text);

/// SHA-256 as FIPS 180-4 writes it down, one step after the other.
void floor_sha256(const uint8_t *bytes, size_t count, uint8_t digest[32]);

/// RFC 3339 text by `gmtime_r` and `snprintf`; returns its length.
int floor_format_time(int64_t seconds, int32_t nanoseconds, char *text, size_t size);

/// The seconds of an RFC 3339 text in UTC by `sscanf` and `timegm`; -1 if it is none.
int64_t floor_parse_time(const char *text, int32_t *nanoseconds);

/// Copies a file through a buffer to a draft, brings it to the disk and renames it; returns its bytes, or -1.
int64_t floor_copy_file(const char *source, const char *draft, const char *target);

/// Reads a file through a buffer; returns its bytes, or -1.
int64_t floor_read_file(const char *source);

/// The processor time of all threads of the process so far.
int64_t floor_processor_nanoseconds(void);

/// The resident memory of the process in bytes; 0 where it cannot be read.
uint64_t floor_resident_bytes(void);

/// Gives memory that is free back to the system, where that can be asked for.
void floor_trim_memory(void);

/// A message as a broker takes it, to be sent again and again.
struct floor_message {
    const char *payload;
    size_t size;
    /// As many names as values.
    size_t headers;
    const char *const *names, *const *values;
};

#endif
