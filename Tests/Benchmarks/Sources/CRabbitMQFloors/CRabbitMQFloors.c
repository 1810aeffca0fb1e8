// SPDX-License-Identifier: Apache-2.0

#include "CRabbitMQFloors.h"

#ifdef DOVETAIL_RABBITMQ_FLOORS

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#endif

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { most_headers = 32, most_partitions = 64, most_under_way = 4096 };

struct floor_rabbitmq {
    amqp_connection_state_t connection;
    /// How many were published on the channel, and confirmed; before which one all were.
    uint64_t published, confirmed, oldest;
    /// Whether those behind it are, in a ring.
    unsigned char is_confirmed[2 * most_under_way];
};

static _Thread_local char last_error[512];

const char *floor_rabbitmq_error(void) { return last_error; }

static int fail(const char *text) {
    snprintf(last_error, sizeof last_error, "%s", text);
    return 1;
}

static int status(int code) { return code < 0 ? fail(amqp_error_string2(code)) : 0; }

static int answered(amqp_rpc_reply_t reply) {
    switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL: return 0;
    case AMQP_RESPONSE_LIBRARY_EXCEPTION: return fail(amqp_error_string2(reply.library_error));
    default: return fail("The broker refused.");
    }
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int floor_rabbitmq_open(const char *address, floor_rabbitmq **result) {
    floor_rabbitmq *self = calloc(1, sizeof *self);
    self->oldest = 1;
    *result = self;
    char *copy = strdup(address);
    struct amqp_connection_info info;
    amqp_default_connection_info(&info);
    int code = status(amqp_parse_url(copy, &info));
    if (!code) {
        self->connection = amqp_new_connection();
        amqp_socket_t *socket = amqp_tcp_socket_new(self->connection);
        code = status(amqp_socket_open(socket, info.host, info.port)) ||
               answered(amqp_login(
                   self->connection, info.vhost, AMQP_DEFAULT_MAX_CHANNELS, AMQP_DEFAULT_FRAME_SIZE, 10,
                   AMQP_SASL_METHOD_PLAIN, info.user, info.password));
    }
    if (!code) {
        amqp_channel_open(self->connection, 1);
        code = answered(amqp_get_rpc_reply(self->connection));
    }
    if (!code) {
        amqp_confirm_select(self->connection, 1);
        code = answered(amqp_get_rpc_reply(self->connection));
    }
    free(copy);
    return code;
}

void floor_rabbitmq_close(floor_rabbitmq *self) {
    if (!self) return;
    if (self->connection) {
        amqp_connection_close(self->connection, AMQP_REPLY_SUCCESS);
        amqp_destroy_connection(self->connection);
    }
    free(self);
}

// MARK: Publishing

static int publish_one(
    floor_rabbitmq *self, const char *topic, int partition, const struct floor_message *message) {
    amqp_table_entry_t entries[most_headers];
    for (size_t index = 0; index < message->headers; index++) {
        entries[index].key = amqp_cstring_bytes(message->names[index]);
        entries[index].value.kind = AMQP_FIELD_KIND_UTF8;
        entries[index].value.value.bytes = amqp_cstring_bytes(message->values[index]);
    }
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
        .delivery_mode = 2,
        .headers = {.num_entries = (int)message->headers, .entries = entries},
    };
    char key[16];
    snprintf(key, sizeof key, "%d", partition);
    amqp_bytes_t body = {.len = message->size, .bytes = (void *)message->payload};
    self->published++;
    return status(amqp_basic_publish(
        self->connection, 1, amqp_cstring_bytes(topic), amqp_cstring_bytes(key), 1, 0, &properties, body));
}

/// Reads confirms: what is there, or until so few are under way.
static int read_confirms(floor_rabbitmq *self, uint64_t most) {
    while (1) {
        struct timeval none = {0}, *limit = self->published - self->confirmed > most ? NULL : &none;
        amqp_frame_t frame;
        amqp_maybe_release_buffers(self->connection);
        int code = amqp_simple_wait_frame_noblock(self->connection, &frame, limit);
        if (code == AMQP_STATUS_TIMEOUT) return 0;
        if (code < 0) return status(code);
        if (frame.frame_type != AMQP_FRAME_METHOD) continue;
        if (frame.payload.method.id != AMQP_BASIC_ACK_METHOD) return fail("A message was not confirmed.");
        amqp_basic_ack_t *ack = frame.payload.method.decoded;
        for (uint64_t tag = ack->multiple ? self->oldest : ack->delivery_tag; tag <= ack->delivery_tag; tag++) {
            unsigned char *place = &self->is_confirmed[tag % (2 * most_under_way)];
            self->confirmed += !*place;
            *place = 1;
        }
        while (self->oldest <= self->published && self->is_confirmed[self->oldest % (2 * most_under_way)]) {
            self->is_confirmed[self->oldest++ % (2 * most_under_way)] = 0;
        }
    }
}

int floor_rabbitmq_publish(
    floor_rabbitmq *self, const char *topic, int partitions, const struct floor_message *message, int count) {
    if (message->headers > most_headers) return fail("There are too many headers.");
    int code = 0;
    for (int index = 0; index < count && !code; index++) {
        code = publish_one(self, topic, index % partitions, message);
        if (!code && (index % 100 == 99 || self->published - self->confirmed >= most_under_way)) {
            code = read_confirms(self, most_under_way - 1);
        }
    }
    return code ? code : read_confirms(self, 0);
}

// MARK: Reading

static int subscribe(
    floor_rabbitmq *self, const char *topic, const char *group, int partitions, int prefetch, int is_on) {
    for (int partition = 0; partition < partitions; partition++) {
        amqp_channel_t channel = (amqp_channel_t)(2 + partition);
        if (!is_on) {
            if (answered(amqp_channel_close(self->connection, channel, AMQP_REPLY_SUCCESS))) return 1;
            continue;
        }
        char queue[256];
        snprintf(queue, sizeof queue, "%s:%s:%d", group, topic, partition);
        amqp_channel_open(self->connection, channel);
        if (answered(amqp_get_rpc_reply(self->connection))) return 1;
        amqp_basic_qos(self->connection, channel, 0, (uint16_t)prefetch, 0);
        if (answered(amqp_get_rpc_reply(self->connection))) return 1;
        amqp_basic_consume(
            self->connection, channel, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
        if (answered(amqp_get_rpc_reply(self->connection))) return 1;
    }
    return 0;
}

/// Acknowledges fifty at a time, and what is left when nothing more has come.
static int acknowledge(floor_rabbitmq *self, uint64_t *last, int *waiting, int partition) {
    if (!waiting[partition]) return 0;
    waiting[partition] = 0;
    return status(amqp_basic_ack(self->connection, (amqp_channel_t)(2 + partition), last[partition], 1));
}

static int read_messages(
    floor_rabbitmq *self, int partitions, int count, int64_t *times, int all) {
    uint64_t last[most_partitions] = {0};
    int waiting[most_partitions] = {0}, code = 0;
    struct timeval limit = {.tv_sec = 0, .tv_usec = 1000};
    int64_t deadline = now() + 60 * (int64_t)1000000000;
    while (count > 0 && !code) {
        amqp_frame_t frame;
        amqp_maybe_release_buffers(self->connection);
        int result = amqp_simple_wait_frame_noblock(self->connection, &frame, &limit);
        if (result == AMQP_STATUS_TIMEOUT) {
            for (int partition = 0; partition < partitions && !code; partition++) {
                code = acknowledge(self, last, waiting, partition);
            }
            if (now() > deadline) code = fail("Messages are missing.");
            continue;
        }
        if ((code = status(result))) break;
        if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_DELIVER_METHOD) continue;
        amqp_basic_deliver_t *delivery = frame.payload.method.decoded;
        int partition = frame.channel - 2;
        last[partition] = delivery->delivery_tag;
        amqp_message_t message;
        if ((code = answered(amqp_read_message(self->connection, frame.channel, &message, 0)))) break;
        if (times) {
            char number[16] = {0};
            memcpy(number, message.body.bytes, message.body.len < 15 ? message.body.len : 15);
            int index = atoi(number);
            if (index >= 0 && index < all) times[index] = now();
        }
        amqp_destroy_message(&message);
        if (++waiting[partition] >= 50) code = acknowledge(self, last, waiting, partition);
        count--;
    }
    for (int partition = 0; partition < partitions && !code; partition++) {
        code = acknowledge(self, last, waiting, partition);
    }
    return code;
}

int floor_rabbitmq_consume(
    floor_rabbitmq *self, const char *topic, const char *group, int partitions, int prefetch, int count) {
    if (partitions > most_partitions) return fail("There are too many partitions.");
    return subscribe(self, topic, group, partitions, prefetch, 1) || read_messages(self, partitions, count, NULL, 0) ||
           subscribe(self, topic, group, partitions, prefetch, 0);
}

// MARK: Both

struct reader {
    floor_rabbitmq *consumer;
    int partitions, count, code;
    int64_t *times;
    char error[512];
};

static void *run_reader(void *context) {
    struct reader *reader = context;
    reader->code = read_messages(reader->consumer, reader->partitions, reader->count, reader->times, reader->count);
    memcpy(reader->error, last_error, sizeof last_error);
    return NULL;
}

int floor_rabbitmq_paced(
    floor_rabbitmq *publisher, floor_rabbitmq *consumer, const char *topic, const char *group, int partitions, int prefetch,
    const struct floor_message *message, int count, int rate, int64_t *nanoseconds) {
    if (subscribe(consumer, topic, group, partitions, prefetch, 1)) return 1;
    struct reader reader = {.consumer = consumer, .partitions = partitions, .count = count, .times = nanoseconds};
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_reader, &reader)) return fail("There is no thread.");
    int64_t *starts = calloc((size_t)count, sizeof *starts), begin = now();
    char *payload = malloc(message->size);
    memcpy(payload, message->payload, message->size);
    struct floor_message numbered = *message;
    numbered.payload = payload;
    int code = 0;
    for (int index = 0; index < count && !code; index++) {
        int64_t moment = begin + (int64_t)index * 1000000000 / rate;
        struct timespec time = {.tv_sec = moment / 1000000000, .tv_nsec = moment % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
        char number[16];
        int length = snprintf(number, sizeof number, "%015d", index);
        memcpy(payload, number, (size_t)length < message->size ? (size_t)length : message->size);
        starts[index] = now();
        code = publish_one(publisher, topic, index % partitions, &numbered) || read_confirms(publisher, most_under_way);
    }
    if (!code) code = read_confirms(publisher, 0);
    pthread_join(thread, NULL);
    for (int index = 0; index < count; index++) nanoseconds[index] -= starts[index];
    free(starts);
    free(payload);
    if (reader.code) return fail(reader.error);
    return code || subscribe(consumer, topic, group, partitions, prefetch, 0);
}

#endif
