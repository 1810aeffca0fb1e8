// SPDX-License-Identifier: Apache-2.0

#ifndef C_RABBITMQ_FLOORS_H
#define C_RABBITMQ_FLOORS_H

// What librabbitmq does by itself, in plain C, with the exchanges, queues and flags that the library uses. Functions return 0, or 1
// when something failed; what it was says floor_rabbitmq_error. They are there with the trait RabbitMQ only.

#include "CFloors.h"

#include <stdint.h>

typedef struct floor_rabbitmq floor_rabbitmq;

/// Says what failed last on this thread.
const char *floor_rabbitmq_error(void);

/// Connects to an address such as amqp://user:password@host:port/%2F.
int floor_rabbitmq_open(const char *address, floor_rabbitmq **result);

void floor_rabbitmq_close(floor_rabbitmq *self);

/// Publishes a message so many times, by turns to the partitions of a topic, and waits until all are confirmed.
int floor_rabbitmq_publish(
    floor_rabbitmq *self, const char *topic, int partitions, const struct floor_message *message, int count);

/// Reads so many messages from the partitions of a topic and acknowledges them.
int floor_rabbitmq_consume(
    floor_rabbitmq *self, const char *topic, const char *group, int partitions, int prefetch, int count);

/// Publishes at so many messages a second while another thread reads them; tells the nanoseconds that each took.
int floor_rabbitmq_paced(
    floor_rabbitmq *publisher, floor_rabbitmq *consumer, const char *topic, const char *group, int partitions, int prefetch,
    const struct floor_message *message, int count, int rate, int64_t *nanoseconds);

#endif
