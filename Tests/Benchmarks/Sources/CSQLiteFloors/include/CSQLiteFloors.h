// SPDX-License-Identifier: Apache-2.0

#ifndef C_SQLITE_FLOORS_H
#define C_SQLITE_FLOORS_H

// What SQLite does by itself, in plain C: WAL, synchronous FULL, one connection, statements prepared once.
// Functions return 0, or what SQLite returns when it fails. They are there with the trait SQLite only.

typedef struct floor_sqlite floor_sqlite;

int floor_sqlite_open(const char *path, floor_sqlite **result);
void floor_sqlite_close(floor_sqlite *self);

/// Adds rows with so many bytes each, a hundred to a transaction.
int floor_sqlite_fill(floor_sqlite *self, int rows, int bytes);

/// Reads and deletes all rows, a batch to a transaction; counts them.
int floor_sqlite_drain(floor_sqlite *self, int batch, int *rows);

/// Runs transactions that each write one row of a thousand, and add another one if asked for.
int floor_sqlite_commit(floor_sqlite *self, int transactions, int adds_row);

#endif
