// SPDX-License-Identifier: Apache-2.0

#ifndef C_POSTGRESQL_FLOORS_H
#define C_POSTGRESQL_FLOORS_H

// What PostgreSQL does by itself, in plain C by libpq: statements are prepared once and sent one after the other, each with a journey
// of its own, as pgbench does. Functions return 0, or 1 when something failed; what it was says floor_postgres_error. They are there
// with the trait PostgreSQL only.

#include <stdint.h>

/// Says what failed last.
const char *floor_postgres_error(void);

/// Runs statements without values.
int floor_postgres_execute(const char *address, const char *statements);

/// Reads one whole number.
int floor_postgres_number(const char *address, const char *query, int64_t *number);

/// Reads and deletes the first rows of a table like the outbox's, a batch to a transaction, until so many are gone.
///
/// Each payload is given away before the commit, and then it is waited until all were taken; both may be null.
int floor_postgres_drain(
    const char *address, const char *table, int batch, int rows, int (*take)(void *context, const char *payload, int size),
    int (*settle)(void *context), void *context);

enum floor_postgres_extra { floor_postgres_nothing, floor_postgres_row, floor_postgres_log, floor_postgres_key };

/// Runs transactions that each write one row of a thousand into a table of rows, and something else.
///
/// With tables of the library under a prefix, on so many connections at the same time, each on a thread of its own.
int floor_postgres_commit(
    const char *address, const char *prefix, int transactions, int connections, enum floor_postgres_extra extra);

/// Writes what sagas of three steps write: four commits each, with the row of the saga and two records of its history in each.
int floor_postgres_sagas(const char *address, const char *prefix, int sagas, int connections);

/// Reads messages from a replication slot until there were so many, and confirms them.
int floor_postgres_read_log(const char *address, const char *slot, int messages);

#endif
