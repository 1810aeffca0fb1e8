// SPDX-License-Identifier: Apache-2.0

#ifndef C_KAFKA_FLOORS_H
#define C_KAFKA_FLOORS_H

// What librdkafka does by itself, in plain C, with the options that the library sets. Functions return 0, or 1 when something failed;
// what it was says floor_kafka_error. They are there with the trait Kafka only.

#include "CFloors.h"

#include <stdint.h>

typedef struct floor_kafka floor_kafka;

/// Says what failed last on this thread.
const char *floor_kafka_error(void);

/// Makes a producer for a topic.
int floor_kafka_producer(const char *servers, const char *topic, const char *linger, floor_kafka **result);

/// Joins a group that reads a topic, and waits until so many messages have come.
int floor_kafka_consumer(
    const char *servers, const char *topic, const char *group, int messages, floor_kafka **result);

void floor_kafka_close(floor_kafka *self);

/// Produces a message so many times, and waits until all are stored.
int floor_kafka_produce(floor_kafka *producer, const struct floor_message *message, int count);

/// Produces as above while another thread reads as many.
int floor_kafka_through(floor_kafka *producer, floor_kafka *consumer, const struct floor_message *message, int count);

/// Produces at so many messages a second while another thread reads them; tells the nanoseconds that each took.
int floor_kafka_paced(
    floor_kafka *producer, floor_kafka *consumer, const struct floor_message *message, int count, int rate,
    int64_t *nanoseconds);

/// What the two below produce with: a producer, and a message for the headers.
struct floor_kafka_target {
    floor_kafka *producer;
    struct floor_message message;
};

/// Produces a payload with the headers of the target's message.
int floor_kafka_take(void *target, const char *payload, int size);

/// Waits until all payloads are stored.
int floor_kafka_settle(void *target);

/// Deletes a topic with all that is in it.
int floor_kafka_delete(const char *servers, const char *topic);

#endif
