// SPDX-License-Identifier: Apache-2.0

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "CFloors.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <malloc.h>
#endif

static const void *volatile last_sunk;

void floor_sink(const void *value) { last_sunk = value; }

void floor_uuid_text(uint64_t high, uint64_t low, char *text) {
    static const char digits[] = "0123456789abcdef";
    int at = 0;
    for (int byte = 0; byte < 16; byte++) {
        uint8_t value = (uint8_t)((byte < 8 ? high : low) >> (56 - 8 * (byte % 8)));
        text[at++] = digits[value >> 4];
        text[at++] = digits[value & 15];
        if (byte == 3 || byte == 5 || byte == 7 || byte == 9) text[at++] = '-';
    }
}

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotated(uint32_t value, int bits) { return value >> bits | value << (32 - bits); }

static void compress(uint32_t state[8], const uint8_t *block) {
    uint32_t schedule[64];
    for (int i = 0; i < 16; i++) {
        schedule[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                      (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = schedule[i - 15], b = schedule[i - 2];
        uint32_t small0 = rotated(a, 7) ^ rotated(a, 18) ^ a >> 3;
        uint32_t small1 = rotated(b, 17) ^ rotated(b, 19) ^ b >> 10;
        schedule[i] = schedule[i - 16] + small0 + schedule[i - 7] + small1;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i++) {
        uint32_t first = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] +
                         schedule[i];
        uint32_t second = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + first, d = c, c = b, b = a, a = first + second;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void floor_sha256(const uint8_t *bytes, size_t count, uint8_t digest[32]) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    size_t done = 0;
    for (; count - done >= 64; done += 64) compress(state, bytes + done);
    uint8_t tail[128] = {0};
    size_t rest = count - done, length = rest < 56 ? 64 : 128;
    memcpy(tail, bytes + done, rest);
    tail[rest] = 0x80;
    for (int i = 0; i < 8; i++) tail[length - 1 - i] = (uint8_t)((uint64_t)count * 8 >> (8 * i));
    for (size_t at = 0; at < length; at += 64) compress(state, tail + at);
    for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

int floor_format_time(int64_t seconds, int32_t nanoseconds, char *text, size_t size) {
    time_t time = (time_t)seconds;
    struct tm parts;
    if (gmtime_r(&time, &parts) == NULL) return -1;
    return snprintf(text, size, "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                    parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, nanoseconds);
}

int64_t floor_parse_time(const char *text, int32_t *nanoseconds) {
    struct tm parts = {0};
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%9dZ", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour,
               &parts.tm_min, &parts.tm_sec, nanoseconds) != 7) {
        return -1;
    }
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    return (int64_t)timegm(&parts);
}

static int64_t pump(int from, int to) {
    static char buffer[256 * 1024];
    int64_t total = 0;
    ssize_t count;
    while ((count = read(from, buffer, sizeof buffer)) > 0) {
        for (ssize_t done = 0; to >= 0 && done < count;) {
            ssize_t written = write(to, buffer + done, (size_t)(count - done));
            if (written < 0) return -1;
            done += written;
        }
        total += count;
    }
    return count < 0 ? -1 : total;
}

int64_t floor_copy_file(const char *source, const char *draft, const char *target) {
    int from = open(source, O_RDONLY), to = open(draft, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int64_t total = from < 0 || to < 0 ? -1 : pump(from, to);
    if (total >= 0 && fsync(to) != 0) total = -1;
    if (from >= 0) close(from);
    if (to >= 0) close(to);
    return total >= 0 && rename(draft, target) == 0 ? total : -1;
}

int64_t floor_read_file(const char *source) {
    int from = open(source, O_RDONLY);
    if (from < 0) return -1;
    int64_t total = pump(from, -1);
    close(from);
    return total;
}

int64_t floor_processor_nanoseconds(void) {
    struct timespec time;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0) return 0;
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

uint64_t floor_resident_bytes(void) {
#ifdef __linux__
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    unsigned long total = 0, resident = 0;
    int read = fscanf(file, "%lu %lu", &total, &resident);
    fclose(file);
    return read == 2 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
#else
    return 0;
#endif
}

void floor_trim_memory(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
