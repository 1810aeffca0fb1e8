// SPDX-License-Identifier: Apache-2.0

#include "CSQLiteFloors.h"

#ifdef DOVETAIL_SQLITE_FLOORS

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct floor_sqlite {
    sqlite3 *connection;
    sqlite3_stmt *begin, *commit, *insert, *drain, *put;
};

int floor_sqlite_open(const char *path, floor_sqlite **result) {
    floor_sqlite *self = calloc(1, sizeof *self);
    *result = self;
    int code = sqlite3_open_v2(path, &self->connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code) return code;
    code = sqlite3_exec(
        self->connection,
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE queue (id INTEGER PRIMARY KEY, payload BLOB NOT NULL);"
        "CREATE TABLE orders (id TEXT PRIMARY KEY, version INTEGER NOT NULL, content TEXT NOT NULL) WITHOUT ROWID;",
        NULL, NULL, NULL);
    const char *texts[] = {
        "BEGIN IMMEDIATE", "COMMIT", "INSERT INTO queue (payload) VALUES (?1)",
        "DELETE FROM queue WHERE id IN (SELECT id FROM queue ORDER BY id LIMIT ?1) RETURNING id, payload",
        "INSERT INTO orders (id, version, content) VALUES (?1, 1, ?2) "
        "ON CONFLICT (id) DO UPDATE SET version = version + 1, content = excluded.content",
    };
    sqlite3_stmt **statements[] = {&self->begin, &self->commit, &self->insert, &self->drain, &self->put};
    for (int index = 0; index < 5 && !code; index++) {
        code = sqlite3_prepare_v3(self->connection, texts[index], -1, SQLITE_PREPARE_PERSISTENT, statements[index], NULL);
    }
    return code;
}

void floor_sqlite_close(floor_sqlite *self) {
    sqlite3_stmt *statements[] = {self->begin, self->commit, self->insert, self->drain, self->put};
    for (int index = 0; index < 5; index++) sqlite3_finalize(statements[index]);
    sqlite3_close(self->connection);
    free(self);
}

static int run(sqlite3_stmt *statement) {
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW ? 0 : code;
}

int floor_sqlite_fill(floor_sqlite *self, int rows, int bytes) {
    void *payload = malloc(bytes);
    memset(payload, 'x', bytes);
    int code = 0;
    for (int row = 0; row < rows && !code; row++) {
        if (row % 100 == 0) code = run(self->begin);
        sqlite3_bind_blob(self->insert, 1, payload, bytes, SQLITE_STATIC);
        if (!code) code = run(self->insert);
        if (!code && (row % 100 == 99 || row == rows - 1)) code = run(self->commit);
    }
    free(payload);
    return code;
}

int floor_sqlite_drain(floor_sqlite *self, int batch, int *rows) {
    *rows = 0;
    while (1) {
        int code = run(self->begin), count = 0, step;
        if (code) return code;
        sqlite3_bind_int(self->drain, 1, batch);
        while ((step = sqlite3_step(self->drain)) == SQLITE_ROW) {
            if (sqlite3_column_blob(self->drain, 1)) count++;
        }
        sqlite3_reset(self->drain);
        if (step != SQLITE_DONE) return step;
        if ((code = run(self->commit))) return code;
        *rows += count;
        if (count == 0) return 0;
    }
}

int floor_sqlite_commit(floor_sqlite *self, int transactions, int adds_row) {
    char payload[530];
    memset(payload, 'x', sizeof payload);
    for (int index = 0; index < transactions; index++) {
        char id[32];
        snprintf(id, sizeof id, "order-%d", index % 1000);
        const char *content = "{\"cents\":1200,\"id\":\"order-1000\",\"sku\":\"book\"}";
        int code = run(self->begin);
        sqlite3_bind_text(self->put, 1, id, -1, SQLITE_STATIC);
        sqlite3_bind_text(self->put, 2, content, -1, SQLITE_STATIC);
        if (!code) code = run(self->put);
        if (adds_row && !code) {
            sqlite3_bind_blob(self->insert, 1, payload, sizeof payload, SQLITE_STATIC);
            code = run(self->insert);
        }
        if (!code) code = run(self->commit);
        if (code) return code;
    }
    return 0;
}

#endif
