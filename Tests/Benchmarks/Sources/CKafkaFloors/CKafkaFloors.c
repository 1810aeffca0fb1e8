// SPDX-License-Identifier: Apache-2.0

#include "CKafkaFloors.h"

#ifdef DOVETAIL_KAFKA_FLOORS

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct floor_kafka {
    rd_kafka_t *client;
    char topic[256];
    int is_consumer, stored, failed;
};

static _Thread_local char last_error[512];

const char *floor_kafka_error(void) { return last_error; }

static int fail(const char *text) {
    snprintf(last_error, sizeof last_error, "%s", text);
    return 1;
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void sleep_until(int64_t moment) {
    struct timespec time = {.tv_sec = moment / 1000000000, .tv_nsec = moment % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    (void)client;
    floor_kafka *self = opaque;
    if (message->err) {
        self->failed++;
    } else {
        self->stored++;
    }
}

static int create(
    rd_kafka_type_t type, const char *servers, const char *topic, const char *const (*options)[2], floor_kafka **result) {
    floor_kafka *self = calloc(1, sizeof *self);
    *result = self;
    snprintf(self->topic, sizeof self->topic, "%s", topic);
    rd_kafka_conf_t *configuration = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(configuration, NULL);
    rd_kafka_conf_set_opaque(configuration, self);
    if (type == RD_KAFKA_PRODUCER) rd_kafka_conf_set_dr_msg_cb(configuration, delivered);
    int code = rd_kafka_conf_set(configuration, "bootstrap.servers", servers, last_error, sizeof last_error);
    for (; (*options)[0] && !code; options++) {
        code = rd_kafka_conf_set(configuration, (*options)[0], (*options)[1], last_error, sizeof last_error);
    }
    if (!code) self->client = rd_kafka_new(type, configuration, last_error, sizeof last_error);
    return self->client ? 0 : 1;
}

int floor_kafka_producer(const char *servers, const char *topic, const char *linger, floor_kafka **result) {
    const char *const options[][2] = {
        {"enable.idempotence", "true"}, {"acks", "all"}, {"partitioner", "murmur2_random"}, {"linger.ms", linger},
        {"queue.buffering.max.messages", "50000"}, {"queue.buffering.max.kbytes", "131072"}, {NULL, NULL},
    };
    return create(RD_KAFKA_PRODUCER, servers, topic, options, result);
}

int floor_kafka_consumer(
    const char *servers, const char *topic, const char *group, int messages, floor_kafka **result) {
    const char *const options[][2] = {
        {"group.id", group}, {"auto.offset.reset", "earliest"}, {"auto.commit.interval.ms", "200"},
        {"queued.min.messages", "2000"}, {"queued.max.messages.kbytes", "16384"}, {NULL, NULL},
    };
    int code = create(RD_KAFKA_CONSUMER, servers, topic, options, result);
    if (code) return code;
    floor_kafka *self = *result;
    rd_kafka_poll_set_consumer(self->client);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t error = rd_kafka_subscribe(self->client, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (error) return fail(rd_kafka_err2str(error));
    self->is_consumer = 1;
    for (int tries = 0; tries < 300 && messages > 0; tries++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(self->client, 100);
        if (message && !message->err) messages--;
        if (message) rd_kafka_message_destroy(message);
    }
    return messages > 0 ? fail("No message has come.") : 0;
}

void floor_kafka_close(floor_kafka *self) {
    if (!self) return;
    if (self->is_consumer) rd_kafka_consumer_close(self->client);
    if (self->client) rd_kafka_destroy(self->client);
    free(self);
}

// MARK: Producing

/// Each has headers and a copy of the payload of its own, as the library's messages do.
static int produce_one(floor_kafka *self, const struct floor_message *message) {
    while (1) {
        rd_kafka_headers_t *headers = rd_kafka_headers_new(message->headers);
        for (size_t index = 0; index < message->headers; index++) {
            rd_kafka_header_add(headers, message->names[index], -1, message->values[index], -1);
        }
        rd_kafka_resp_err_t error = rd_kafka_producev(
            self->client, RD_KAFKA_V_TOPIC(self->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_VALUE((void *)message->payload, message->size), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_END);
        if (!error) return 0;
        rd_kafka_headers_destroy(headers);
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) return fail(rd_kafka_err2str(error));
        rd_kafka_poll(self->client, 10);
    }
}

static int wait_until_stored(floor_kafka *self, int count) {
    while (self->stored + self->failed < count) rd_kafka_poll(self->client, 100);
    return self->failed ? fail("A message was not stored.") : 0;
}

int floor_kafka_produce(floor_kafka *self, const struct floor_message *message, int count) {
    self->stored = self->failed = 0;
    int code = 0;
    for (int index = 0; index < count && !code; index++) {
        code = produce_one(self, message);
        if (index % 100 == 0) rd_kafka_poll(self->client, 0);
    }
    return code ? code : wait_until_stored(self, count);
}

int floor_kafka_take(void *context, const char *payload, int size) {
    struct floor_kafka_target *target = context;
    struct floor_message message = target->message;
    message.payload = payload;
    message.size = (size_t)size;
    return produce_one(target->producer, &message);
}

int floor_kafka_settle(void *context) {
    struct floor_kafka_target *target = context;
    if (rd_kafka_flush(target->producer->client, 30000)) return fail("Not all was stored in time.");
    return target->producer->failed ? fail("A message was not stored.") : 0;
}

// MARK: Reading

struct reader {
    floor_kafka *consumer;
    int count;
    /// Where to write the time each message has come; null if that is not asked for.
    int64_t *times;
    int code;
    char error[512];
};

static void *read_messages(void *context) {
    struct reader *reader = context;
    int64_t deadline = now() + 60 * (int64_t)1000000000;
    int left = reader->count;
    while (left > 0 && !reader->code) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->consumer->client, 100);
        if (!message) {
            if (now() > deadline) reader->code = fail("Messages are missing.");
            continue;
        }
        if (message->err) {
            if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) reader->code = fail(rd_kafka_message_errstr(message));
        } else {
            // Its number is what the payload begins with.
            if (reader->times) {
                char number[16] = {0};
                memcpy(number, message->payload, message->len < 15 ? message->len : 15);
                int index = atoi(number);
                if (index >= 0 && index < reader->count) reader->times[index] = now();
            }
            left--;
        }
        rd_kafka_message_destroy(message);
    }
    memcpy(reader->error, last_error, sizeof last_error);
    return NULL;
}

int floor_kafka_through(floor_kafka *producer, floor_kafka *consumer, const struct floor_message *message, int count) {
    struct reader reader = {.consumer = consumer, .count = count};
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_messages, &reader)) return fail("There is no thread.");
    int code = floor_kafka_produce(producer, message, count);
    pthread_join(thread, NULL);
    return reader.code ? fail(reader.error) : code;
}

int floor_kafka_paced(
    floor_kafka *producer, floor_kafka *consumer, const struct floor_message *message, int count, int rate,
    int64_t *nanoseconds) {
    struct reader reader = {.consumer = consumer, .count = count, .times = nanoseconds};
    int64_t *starts = calloc((size_t)count, sizeof *starts), begin = now();
    char *payload = malloc(message->size + 1);
    memcpy(payload, message->payload, message->size);
    struct floor_message numbered = *message;
    numbered.payload = payload;
    pthread_t thread;
    int code = pthread_create(&thread, NULL, read_messages, &reader) ? fail("There is no thread.") : 0;
    int is_reading = !code;
    producer->stored = producer->failed = 0;
    for (int index = 0; index < count && !code; index++) {
        sleep_until(begin + (int64_t)index * 1000000000 / rate);
        char number[16];
        int length = snprintf(number, sizeof number, "%015d", index);
        memcpy(payload, number, (size_t)length < message->size ? (size_t)length : message->size);
        starts[index] = now();
        code = produce_one(producer, &numbered);
        rd_kafka_poll(producer->client, 0);
    }
    if (!code) code = wait_until_stored(producer, count);
    if (is_reading) pthread_join(thread, NULL);
    for (int index = 0; index < count; index++) nanoseconds[index] -= starts[index];
    free(starts);
    free(payload);
    return reader.code ? fail(reader.error) : code;
}

// MARK: Topics

int floor_kafka_delete(const char *servers, const char *topic) {
    floor_kafka *self = NULL;
    int code = floor_kafka_producer(servers, topic, "0", &self);
    if (!code) {
        rd_kafka_DeleteTopic_t *deleted = rd_kafka_DeleteTopic_new(topic);
        rd_kafka_queue_t *answers = rd_kafka_queue_new(self->client);
        rd_kafka_DeleteTopics(self->client, &deleted, 1, NULL, answers);
        rd_kafka_event_t *event = rd_kafka_queue_poll(answers, 10000);
        if (!event) {
            code = fail("The topic was not deleted in time.");
        } else if (rd_kafka_event_error(event)) {
            code = fail(rd_kafka_event_error_string(event));
        }
        if (event) rd_kafka_event_destroy(event);
        rd_kafka_queue_destroy(answers);
        rd_kafka_DeleteTopic_destroy(deleted);
    }
    floor_kafka_close(self);
    return code;
}

#endif
