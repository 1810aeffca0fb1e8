// SPDX-License-Identifier: Apache-2.0

#include "CPostgreSQLFloors.h"

#ifdef DOVETAIL_POSTGRESQL_FLOORS

#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#else
#include <libpq-fe.h>
#endif

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char last_error[512];

const char *floor_postgres_error(void) { return last_error; }

static int fail(const char *text) {
    snprintf(last_error, sizeof last_error, "%s", text);
    return 1;
}

static PGconn *open_connection(const char *address) {
    PGconn *connection = PQconnectdb(address);
    if (PQstatus(connection) == CONNECTION_OK) return connection;
    fail(PQerrorMessage(connection));
    PQfinish(connection);
    return NULL;
}

/// Takes a result; whoever wants its rows gives a place for it.
static int take(PGconn *connection, PGresult *result, PGresult **rows) {
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        PQclear(result);
        return fail(PQerrorMessage(connection));
    }
    if (rows) {
        *rows = result;
    } else {
        PQclear(result);
    }
    return 0;
}

static int execute(PGconn *connection, const char *text) { return take(connection, PQexec(connection, text), NULL); }

static int prepare(PGconn *connection, const char *name, const char *text) {
    return take(connection, PQprepare(connection, name, text, 0, NULL), NULL);
}

/// Runs a prepared statement with texts.
static int run(PGconn *connection, const char *name, int count, const char *const *values) {
    return take(connection, PQexecPrepared(connection, name, count, values, NULL, NULL, 1), NULL);
}

int floor_postgres_execute(const char *address, const char *statements) {
    PGconn *connection = open_connection(address);
    if (!connection) return 1;
    int code = execute(connection, statements);
    PQfinish(connection);
    return code;
}

int floor_postgres_number(const char *address, const char *query, int64_t *number) {
    PGconn *connection = open_connection(address);
    if (!connection) return 1;
    PGresult *rows = NULL;
    int code = take(connection, PQexec(connection, query), &rows);
    if (!code) {
        *number = PQntuples(rows) ? atoll(PQgetvalue(rows, 0, 0)) : 0;
        PQclear(rows);
    }
    PQfinish(connection);
    return code;
}

// MARK: Draining

int floor_postgres_drain(
    const char *address, const char *table, int batch, int rows, int (*take_row)(void *context, const char *payload, int size),
    int (*settle)(void *context), void *context) {
    PGconn *connection = open_connection(address);
    if (!connection) return 1;
    char text[512], limit[16];
    snprintf(
        text, sizeof text,
        "WITH batch AS (SELECT id FROM %s ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED) "
        "DELETE FROM %s AS queue USING batch WHERE queue.id = batch.id "
        "RETURNING queue.id, due, lane, attempts, state, attributes, payload",
        table, table);
    snprintf(limit, sizeof limit, "%d", batch);
    const char *values[] = {limit};
    int code = prepare(connection, "drain", text) || prepare(connection, "begin", "BEGIN") ||
               prepare(connection, "commit", "COMMIT");
    while (!code && rows > 0) {
        PGresult *result = NULL;
        code = run(connection, "begin", 0, NULL) ||
               take(connection, PQexecPrepared(connection, "drain", 1, values, NULL, NULL, 1), &result);
        int count = result ? PQntuples(result) : 0;
        for (int row = 0; row < count && !code; row++) {
            const char *payload = PQgetvalue(result, row, 6);
            if (!payload) code = fail("A row has no payload.");
            if (take_row && take_row(context, payload, PQgetlength(result, row, 6))) code = fail("A row was not taken.");
        }
        if (!code && count == 0) code = fail("There are too few rows.");
        if (!code && settle && settle(context)) code = fail("Rows were not settled.");
        if (!code) code = run(connection, "commit", 0, NULL);
        PQclear(result);
        rows -= count;
    }
    PQfinish(connection);
    return code;
}

// MARK: Side by side

struct share {
    const char *address, *prefix;
    int (*work)(PGconn *connection, const struct share *share);
    int first, count;
    enum floor_postgres_extra extra;
    char error[512];
    int code;
};

static void *run_share(void *context) {
    struct share *share = context;
    PGconn *connection = open_connection(share->address);
    share->code = connection ? share->work(connection, share) : 1;
    if (share->code) memcpy(share->error, last_error, sizeof last_error);
    PQfinish(connection);
    return NULL;
}

/// Does so many pieces of work on so many connections.
static int side_by_side(struct share all, int connections) {
    struct share *shares = calloc((size_t)connections, sizeof *shares);
    pthread_t *threads = calloc((size_t)connections, sizeof *threads);
    int code = 0, started = 0;
    for (; started < connections; started++) {
        shares[started] = all;
        shares[started].first = (int)((int64_t)all.count * started / connections);
        shares[started].count = (int)((int64_t)all.count * (started + 1) / connections) - shares[started].first;
        if (pthread_create(&threads[started], NULL, run_share, &shares[started])) {
            code = fail("There is no thread.");
            break;
        }
    }
    for (int index = 0; index < started; index++) {
        pthread_join(threads[index], NULL);
        if (shares[index].code) code = fail(shares[index].error);
    }
    free(shares);
    free(threads);
    return code;
}

// MARK: Commits

/// About what an envelope of these workloads takes: its attributes, and with them its payload.
enum { attributes_size = 330, payload_size = 200 };

static int commit_share(PGconn *connection, const struct share *share) {
    char put[512], add[512], key[512];
    snprintf(
        put, sizeof put,
        "INSERT INTO %srows AS rows (table_name, row_key, version, content) VALUES ('floor', $1, 1, $2) "
        "ON CONFLICT (table_name, row_key) DO UPDATE SET version = rows.version + 1, content = excluded.content "
        "RETURNING version",
        share->prefix);
    snprintf(
        add, sizeof add, "INSERT INTO %soutbox (due, lane, attributes, payload) VALUES ($1, $2, $3, $4)", share->prefix);
    snprintf(
        key, sizeof key,
        "INSERT INTO %sidempotency_keys (scope, key_text, expiry) VALUES ('floor', $1, $2) "
        "ON CONFLICT (scope, key_text) DO NOTHING RETURNING key_text",
        share->prefix);
    int code = prepare(connection, "begin", "BEGIN") || prepare(connection, "commit", "COMMIT") ||
               prepare(connection, "put", put) || prepare(connection, "add", add) || prepare(connection, "key", key) ||
               prepare(connection, "log", "SELECT pg_logical_emit_message(true, 'floor', CAST($1 AS BYTEA))");
    char text[attributes_size + payload_size + 1], attributes[attributes_size + 1], payload[payload_size + 1];
    memset(text, 'x', sizeof text - 1);
    memset(attributes, 'x', sizeof attributes - 1);
    memset(payload, 'x', sizeof payload - 1);
    text[sizeof text - 1] = attributes[attributes_size] = payload[payload_size] = 0;
    for (int index = share->first; index < share->first + share->count && !code; index++) {
        char id[32], number[32];
        snprintf(id, sizeof id, "order-%d", index % 1000);
        snprintf(number, sizeof number, "%d-0193a1b2-c3d4-7e5f-8a9b", index);
        const char *row[] = {id, "{\"cents\":1200,\"id\":\"order-1000\",\"sku\":\"book\"}"};
        const char *message[] = {"1772357400000000", "4711", attributes, payload};
        const char *content[] = {text};
        const char *once[] = {number, "1772357400000000"};
        code = run(connection, "begin", 0, NULL);
        if (!code && share->extra == floor_postgres_key) code = run(connection, "key", 2, once);
        if (!code) code = run(connection, "put", 2, row);
        if (!code && share->extra == floor_postgres_row) code = run(connection, "add", 4, message);
        if (!code && share->extra == floor_postgres_log) code = run(connection, "log", 1, content);
        if (!code) code = run(connection, "commit", 0, NULL);
    }
    return code;
}

int floor_postgres_commit(
    const char *address, const char *prefix, int transactions, int connections, enum floor_postgres_extra extra) {
    struct share all = {
        .address = address, .prefix = prefix, .work = commit_share, .count = transactions, .extra = extra};
    return side_by_side(all, connections);
}

// MARK: Sagas

static int saga_share(PGconn *connection, const struct share *share) {
    char insert[1024], update[1024], history[1024];
    snprintf(
        insert, sizeof insert,
        "INSERT INTO %ssagas (id, name, version, status, step, business_key, reason, fingerprint, state, progress, started_at, "
        "changed_at, records, epoch, signals, seen, claims, leased, claimable) "
        "VALUES ($1, 'place-order', 1, 'running', 'payment', NULL, NULL, $2, $3, $4, $5, $5, 2, 1, 0, 0, 1, 1, $5) "
        "ON CONFLICT (id) DO NOTHING",
        share->prefix);
    snprintf(
        update, sizeof update,
        "UPDATE %ssagas SET version = 1, status = $2, step = $3, reason = NULL, state = $4, progress = $5, changed_at = $6, "
        "records = $7, seen = 0, claims = 1, leased = 1, claimable = $8 "
        "WHERE id = $1 AND epoch = 1 AND signals = 0 AND records = $7 - 2",
        share->prefix);
    snprintf(
        history, sizeof history,
        "INSERT INTO %ssaga_history (saga, number, written_at, kind, step, attempt, detail, payload, author, message_id) "
        "VALUES ($1, $2, $3, 'step-done', $4, 1, NULL, $5, NULL, NULL), "
        "($1, $2 + 1, $3, 'step-started', $4, 1, NULL, NULL, NULL, NULL)",
        share->prefix);
    int code = prepare(connection, "begin", "BEGIN") || prepare(connection, "commit", "COMMIT") ||
               prepare(connection, "insert", insert) || prepare(connection, "update", update) ||
               prepare(connection, "history", history);
    // As long as those of the library's saga.
    static const char *const states[] = {
        "{\"order\":\"order-1000\"}", "{\"order\":\"order-1000\",\"payment\":\"order-1000/payment\"}",
        "{\"order\":\"order-1000\",\"payment\":\"order-1000/payment\",\"reservation\":\"order-1000/stock\"}",
        "{\"order\":\"order-1000\",\"payment\":\"order-1000/payment\",\"reservation\":\"order-1000/stock\"}",
    };
    static const char *const steps[] = {"payment", "stock", "confirm", NULL};
    char progress[4][512];
    for (int turn = 0; turn < 4; turn++) {
        int length = 240 + 70 * turn;
        progress[turn][0] = '"';
        memset(progress[turn] + 1, 'x', (size_t)length);
        progress[turn][length + 1] = '"';
        progress[turn][length + 2] = 0;
    }
    const char *time = "1772357400000000";
    for (int index = share->first; index < share->first + share->count && !code; index++) {
        char id[32];
        snprintf(id, sizeof id, "floor-%d", index);
        for (int turn = 0; turn < 4 && !code; turn++) {
            char records[16], number[16];
            snprintf(records, sizeof records, "%d", 2 * turn + 2);
            snprintf(number, sizeof number, "%d", 2 * turn + 1);
            const char *first[] = {id, "c2f1b7a05a3e4d6c8b9a0f1e2d3c4b5a", states[0], progress[0], time};
            const char *next[] = {
                id, turn < 3 ? "running" : "completed", steps[turn], states[turn], progress[turn], time, records,
                turn < 3 ? time : NULL};
            const char *said[] = {id, number, time, steps[turn], "\"order-1000/payment\""};
            code = run(connection, "begin", 0, NULL);
            if (!code) code = turn == 0 ? run(connection, "insert", 5, first) : run(connection, "update", 8, next);
            if (!code) code = run(connection, "history", 5, said);
            if (!code) code = run(connection, "commit", 0, NULL);
        }
    }
    return code;
}

int floor_postgres_sagas(const char *address, const char *prefix, int sagas, int connections) {
    struct share all = {.address = address, .prefix = prefix, .work = saga_share, .count = sagas};
    return side_by_side(all, connections);
}

// MARK: The log

static uint64_t number_at(const char *bytes) {
    uint64_t number = 0;
    for (int index = 0; index < 8; index++) number = number << 8 | (uint8_t)bytes[index];
    return number;
}

static int confirm(PGconn *connection, uint64_t position) {
    char reply[34] = {'r'};
    for (int field = 0; field < 3; field++) {
        for (int index = 0; index < 8; index++) reply[1 + 8 * field + index] = (char)(position >> (56 - 8 * index));
    }
    if (PQputCopyData(connection, reply, sizeof reply) == 1 && PQflush(connection) == 0) return 0;
    return fail(PQerrorMessage(connection));
}

int floor_postgres_read_log(const char *address, const char *slot, int messages) {
    // Both forms of an address take further options when it is itself one of them.
    const char *names[] = {"dbname", "replication", NULL}, *values[] = {address, "database", NULL};
    PGconn *connection = PQconnectdbParams(names, values, 1);
    int code = PQstatus(connection) == CONNECTION_OK ? 0 : fail(PQerrorMessage(connection));
    if (!code) {
        char command[512];
        snprintf(
            command, sizeof command,
            "START_REPLICATION SLOT \"%s\" LOGICAL 0/0 (proto_version '1', publication_names '%s', messages 'true')", slot,
            slot);
        PGresult *result = PQexec(connection, command);
        if (PQresultStatus(result) != PGRES_COPY_BOTH) code = fail(PQerrorMessage(connection));
        PQclear(result);
    }
    uint64_t end = 0;
    size_t bytes = 0;
    // To the end of the last transaction, whose place is confirmed; on the way there every five hundred messages.
    int isOver = 0, unconfirmed = 0;
    while (!code && !isOver) {
        char *frame = NULL;
        int length = PQgetCopyData(connection, &frame, 0);
        if (length < 0) {
            code = fail(PQerrorMessage(connection));
        } else if (frame[0] == 'w' && length > 25) {
            const char *message = frame + 25;
            if (message[0] == 'M') {
                messages--;
                unconfirmed++;
                bytes += (size_t)length;
            } else if (message[0] == 'C' && length >= 25 + 18) {
                end = number_at(message + 10);
                isOver = messages <= 0;
                if (isOver || unconfirmed >= 500) {
                    code = confirm(connection, end);
                    unconfirmed = 0;
                }
            }
        } else if (frame[0] == 'k' && length >= 18 && frame[17]) {
            code = confirm(connection, end);
        }
        PQfreemem(frame);
    }
    if (!code && bytes == 0) code = fail("The log had no content.");
    PQfinish(connection);
    return code;
}

#endif
