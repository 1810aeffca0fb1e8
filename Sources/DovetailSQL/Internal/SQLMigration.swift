// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Makes the library's tables, and brings older ones to this release's form, within one transaction.
struct SQLMigration: Sendable {
    let tables: SQLTables
    let dialect: SQLDialect
    let service: String?

    /// What each version adds; the first is version 1.
    ///
    /// What was released is never changed.
    private var steps: [[String]] { [versionOne, versionTwo] }

    /// Brings the tables to the last version.
    ///
    /// - Throws: `DatabaseError` with `incompatibleSchema` or `foreignSchema`, or with the code of what failed.
    func run(in tx: SQLTransaction<some SQLConnection>) async throws {
        // Programs that start at the same time wait for each other here, and all but the first find the work done.
        if let lock = dialect.lock { try await tx.execute(lock(SQLTables.lockNumber)) }
        try await tx.execute(
            """
            CREATE TABLE IF NOT EXISTS \(raw: tables.schema) (
                id \(raw: dialect.integer) PRIMARY KEY, version \(raw: dialect.integer) NOT NULL, service \(raw: dialect.text)
            )
            """)
        let row = try await tx.query("SELECT version, service FROM \(raw: tables.schema) WHERE id = 1").first
        let version = try row?.integer(0) ?? 0
        let owner = try row?.optionalText(1)
        try check(version: version, owner: owner)
        for step in steps.dropFirst(Int(version)) {
            for statement in step { try await tx.execute(SQL(raw: statement)) }
        }
        if version == 1 { try await StoredDeadLetter.bringUpToDate(tables, in: tx) }
        guard version < steps.count || (owner == nil && service != nil) else { return }
        try await tx.execute(
            """
            INSERT INTO \(raw: tables.schema) (id, version, service) VALUES (1, \(steps.count), \(owner ?? service))
            ON CONFLICT (id) DO UPDATE SET version = excluded.version, service = excluded.service
            """)
    }

    private func check(version: Int64, owner: String?) throws {
        guard (0...Int64(steps.count)).contains(version) else {
            throw DatabaseError(
                .incompatibleSchema,
                "The tables '\(tables.prefix)…' are of version \(version), made by a later release of Dovetail; this one knows "
                    + "versions up to \(steps.count). Use that release or a later one, or another table prefix."
            )
        }
        if let owner, let service, owner != service {
            throw DatabaseError(
                .foreignSchema,
                "The tables '\(tables.prefix)…' belong to the service '\(owner)', and this is '\(service)'. Give each service "
                    + "a database of its own, or at least its own table prefix."
            )
        }
    }

    private var versionOne: [String] {
        counters + rows + outbox + idempotency + waitingRoom + deadLetters + bus
    }

    /// Dead letters that are searched, counted and remembered, and sagas.
    private var versionTwo: [String] { searchedDeadLetters + deadLetterGroups + deadLetterRecords + sagas }

    private var counters: [String] {
        [
            "CREATE TABLE \(tables.counters) (name \(dialect.text) PRIMARY KEY, value \(dialect.integer) NOT NULL)\(dialect.keyedTable)"
        ]
    }

    private var rows: [String] {
        [
            """
            CREATE TABLE \(tables.rows) (
                table_name \(dialect.text) NOT NULL, row_key \(dialect.text) NOT NULL,
                version \(dialect.integer) NOT NULL, content \(dialect.text) NOT NULL,
                PRIMARY KEY (table_name, row_key)
            )\(dialect.keyedTable)
            """
        ]
    }

    private var outbox: [String] {
        let message = """
            lane \(dialect.integer) NOT NULL, due \(dialect.integer) NOT NULL, attributes \(dialect.text) NOT NULL,
            payload \(dialect.bytes) NOT NULL
            """
        return [
            """
            CREATE TABLE \(tables.outbox) (
                id \(dialect.identity), state \(dialect.integer) NOT NULL DEFAULT 0, retry_at \(dialect.integer),
                attempts \(dialect.integer) NOT NULL DEFAULT 0, failure \(dialect.text), \(message)
            )
            """,
            "CREATE INDEX \(tables.outbox)_ready ON \(tables.outbox) (state, id, lane) WHERE state = 0",
            "CREATE INDEX \(tables.outbox)_retry ON \(tables.outbox) (state, retry_at) WHERE state = 1",
            "CREATE INDEX \(tables.outbox)_queue ON \(tables.outbox) (state, lane, id) WHERE state = 2",
            "CREATE TABLE \(tables.outboxScheduled) (id \(dialect.identity), \(message))",
            "CREATE INDEX \(tables.outboxScheduled)_due ON \(tables.outboxScheduled) (due, id)",
            """
            CREATE TABLE \(tables.outboxLanes) (
                lane \(dialect.integer) NOT NULL PRIMARY KEY, due \(dialect.integer) NOT NULL
            )\(dialect.keyedTable)
            """,
            "CREATE INDEX \(tables.outboxLanes)_due ON \(tables.outboxLanes) (due, lane)",
            """
            CREATE TABLE \(tables.outboxClaims) (
                token \(dialect.identity), made_at \(dialect.integer) NOT NULL, expiry \(dialect.integer) NOT NULL, held \(dialect.bytes) NOT NULL
            )
            """,
            """
            CREATE TABLE \(tables.outboxParked) (
                id \(dialect.integer) NOT NULL PRIMARY KEY, parked_at \(dialect.integer) NOT NULL
            )\(dialect.keyedTable)
            """,
            "CREATE INDEX \(tables.outboxParked)_at ON \(tables.outboxParked) (parked_at, id)",
        ]
    }

    private var idempotency: [String] {
        [
            """
            CREATE TABLE \(tables.keys) (
                scope \(dialect.text) NOT NULL, key_text \(dialect.text) NOT NULL, expiry \(dialect.integer) NOT NULL,
                PRIMARY KEY (scope, key_text)
            )\(dialect.keyedTable)
            """,
            "CREATE INDEX \(tables.keys)_expiry ON \(tables.keys) (expiry)",
            """
            CREATE TABLE \(tables.requests) (
                token \(dialect.identity), scope \(dialect.text) NOT NULL, key_text \(dialect.text) NOT NULL,
                fingerprint \(dialect.text) NOT NULL, lease_end \(dialect.integer) NOT NULL,
                retention \(dialect.integer) NOT NULL, expiry \(dialect.integer) NOT NULL, answer \(dialect.bytes),
                UNIQUE (scope, key_text)
            )
            """,
            "CREATE INDEX \(tables.requests)_expiry ON \(tables.requests) (expiry)",
        ]
    }

    private var waitingRoom: [String] {
        [
            """
            CREATE TABLE \(tables.waitingLanes) (
                id \(dialect.identity), consumer \(dialect.text) NOT NULL, lane \(dialect.text) NOT NULL,
                due \(dialect.integer) NOT NULL, token \(dialect.integer), lease_end \(dialect.integer) NOT NULL,
                claimable \(dialect.integer) NOT NULL, blocked \(dialect.integer) NOT NULL, UNIQUE (consumer, lane)
            )
            """,
            """
            CREATE INDEX \(tables.waitingLanes)_claimable
            ON \(tables.waitingLanes) (consumer, blocked, claimable, id)
            """,
            """
            CREATE TABLE \(tables.waiting) (
                id \(dialect.identity), consumer \(dialect.text) NOT NULL, lane \(dialect.text) NOT NULL,
                place \(dialect.integer) NOT NULL, entry \(dialect.text) NOT NULL, since \(dialect.integer) NOT NULL,
                topic \(dialect.text) NOT NULL, position \(dialect.text) NOT NULL, attempts \(dialect.integer) NOT NULL,
                failure_type \(dialect.text), failure_message \(dialect.text), attributes \(dialect.text) NOT NULL,
                payload \(dialect.bytes) NOT NULL, UNIQUE (consumer, lane, entry)
            )
            """,
            "CREATE INDEX \(tables.waiting)_place ON \(tables.waiting) (consumer, lane, place)",
            "CREATE INDEX \(tables.waiting)_since ON \(tables.waiting) (consumer, since)",
        ]
    }

    private var deadLetters: [String] {
        [
            """
            CREATE TABLE \(tables.deadLetters) (
                number \(dialect.identity), id \(dialect.text) NOT NULL UNIQUE, topic \(dialect.text) NOT NULL,
                position \(dialect.text) NOT NULL, consumer \(dialect.text) NOT NULL,
                attempts \(dialect.integer) NOT NULL, reason \(dialect.text) NOT NULL,
                failure_type \(dialect.text) NOT NULL, failure_message \(dialect.text) NOT NULL,
                given_up_at \(dialect.text) NOT NULL, attributes \(dialect.text), headers \(dialect.text),
                error_code \(dialect.text), error_message \(dialect.text), payload \(dialect.bytes) NOT NULL
            )
            """
        ]
    }

    private var searchedDeadLetters: [String] {
        let table = tables.deadLetters
        let columns = [
            "queue \(dialect.text) NOT NULL DEFAULT 'main'", "tier \(dialect.text) NOT NULL DEFAULT 'standard'",
            "tenant \(dialect.text)", "message_id \(dialect.text)", "message_type \(dialect.text)",
            "fingerprint \(dialect.text) NOT NULL DEFAULT ''", "failure_place \(dialect.text) NOT NULL DEFAULT ''",
            "given_up_us \(dialect.integer) NOT NULL DEFAULT 0",
        ]
        // Each with the order in which letters are read, so that none has to sort.
        let indexed = [
            "queue", "reason", "fingerprint", "message_type", "consumer", "tenant", "message_id", "given_up_us",
        ]
        return columns.map { "ALTER TABLE \(table) ADD COLUMN \($0)" }
            + indexed.map { "CREATE INDEX \(table)_\($0) ON \(table) (\($0), number)" }
    }

    private var deadLetterGroups: [String] {
        [
            """
            CREATE TABLE \(tables.deadLetterGroups) (
                queue \(dialect.text) NOT NULL, tier \(dialect.text) NOT NULL, fingerprint \(dialect.text) NOT NULL,
                reason \(dialect.text) NOT NULL, message_type \(dialect.text), consumer \(dialect.text) NOT NULL,
                failure_type \(dialect.text) NOT NULL, failure_place \(dialect.text) NOT NULL,
                failure_message \(dialect.text) NOT NULL, letters \(dialect.integer) NOT NULL,
                first_us \(dialect.integer) NOT NULL, last_us \(dialect.integer) NOT NULL, example \(dialect.text) NOT NULL,
                PRIMARY KEY (queue, tier, fingerprint)
            )\(dialect.keyedTable)
            """
        ]
    }

    private var deadLetterRecords: [String] {
        [
            """
            CREATE TABLE \(tables.deadLetterRecords) (
                number \(dialect.identity), letter \(dialect.text) NOT NULL, message_id \(dialect.text) NOT NULL,
                consumer \(dialect.text) NOT NULL, reason \(dialect.text) NOT NULL, attempts \(dialect.integer) NOT NULL,
                failure_type \(dialect.text) NOT NULL, failure_place \(dialect.text) NOT NULL,
                failure_message \(dialect.text) NOT NULL, given_up_at \(dialect.text) NOT NULL,
                exit_name \(dialect.text) NOT NULL, left_at \(dialect.text) NOT NULL, left_us \(dialect.integer) NOT NULL,
                job \(dialect.text), note \(dialect.text) NOT NULL
            )
            """,
            "CREATE INDEX \(tables.deadLetterRecords)_message ON \(tables.deadLetterRecords) (message_id, number)",
            "CREATE INDEX \(tables.deadLetterRecords)_left ON \(tables.deadLetterRecords) (left_us, number)",
        ]
    }

    private var bus: [String] {
        [
            """
            CREATE TABLE \(tables.busMessages) (
                id \(dialect.identity), topic \(dialect.text) NOT NULL, lane \(dialect.text) NOT NULL,
                published_at \(dialect.integer) NOT NULL, attributes \(dialect.text), payload \(dialect.bytes) NOT NULL
            )
            """,
            "CREATE INDEX \(tables.busMessages)_topic ON \(tables.busMessages) (topic, id)",
            "CREATE INDEX \(tables.busMessages)_published ON \(tables.busMessages) (published_at, id)",
            """
            CREATE TABLE \(tables.busGroups) (
                name \(dialect.text) NOT NULL, topic \(dialect.text) NOT NULL, PRIMARY KEY (topic, name)
            )\(dialect.keyedTable)
            """,
            """
            CREATE TABLE \(tables.busLanes) (
                id \(dialect.identity), group_name \(dialect.text) NOT NULL, topic \(dialect.text) NOT NULL,
                lane \(dialect.text) NOT NULL, available_at \(dialect.integer) NOT NULL,
                token \(dialect.integer) NOT NULL, UNIQUE (group_name, topic, lane)
            )
            """,
            "CREATE INDEX \(tables.busLanes)_available ON \(tables.busLanes) (group_name, topic, available_at, id)",
            "CREATE INDEX \(tables.busLanes)_token ON \(tables.busLanes) (token, id)",
            """
            CREATE TABLE \(tables.busDeliveries) (
                id \(dialect.identity), lane \(dialect.integer) NOT NULL, message \(dialect.integer) NOT NULL,
                due \(dialect.integer) NOT NULL, attempts \(dialect.integer) NOT NULL
            )
            """,
            "CREATE INDEX \(tables.busDeliveries)_lane ON \(tables.busDeliveries) (lane, id)",
            "CREATE INDEX \(tables.busDeliveries)_message ON \(tables.busDeliveries) (message)",
        ]
    }

    private var sagas: [String] {
        [
            """
            CREATE TABLE \(tables.sagas) (
                id \(dialect.text) NOT NULL PRIMARY KEY, name \(dialect.text) NOT NULL, version \(dialect.integer) NOT NULL,
                status \(dialect.text) NOT NULL, step \(dialect.text), business_key \(dialect.text), reason \(dialect.text),
                fingerprint \(dialect.text) NOT NULL, state \(dialect.text) NOT NULL, progress \(dialect.text) NOT NULL,
                started_at \(dialect.integer) NOT NULL, changed_at \(dialect.integer) NOT NULL,
                records \(dialect.integer) NOT NULL, epoch \(dialect.integer) NOT NULL, signals \(dialect.integer) NOT NULL,
                seen \(dialect.integer) NOT NULL, claims \(dialect.integer) NOT NULL, leased \(dialect.integer) NOT NULL,
                claimable \(dialect.integer)
            )
            """,
            "CREATE INDEX \(tables.sagas)_due ON \(tables.sagas) (claimable, name) WHERE claimable IS NOT NULL",
            "CREATE INDEX \(tables.sagas)_status ON \(tables.sagas) (status, changed_at, id)",
            "CREATE INDEX \(tables.sagas)_name ON \(tables.sagas) (name, changed_at, id)",
            "CREATE INDEX \(tables.sagas)_business ON \(tables.sagas) (business_key, changed_at, id)",
            """
            CREATE TABLE \(tables.sagaWaits) (
                name \(dialect.text) NOT NULL, type \(dialect.text) NOT NULL, key_text \(dialect.text) NOT NULL,
                saga \(dialect.text) NOT NULL, PRIMARY KEY (name, type, key_text, saga)
            )\(dialect.keyedTable)
            """,
            """
            CREATE TABLE \(tables.sagaMessages) (
                number \(dialect.identity), target \(dialect.text), name \(dialect.text) NOT NULL,
                type \(dialect.text) NOT NULL, key_text \(dialect.text) NOT NULL, message_id \(dialect.text) NOT NULL,
                payload \(dialect.bytes) NOT NULL, expiry \(dialect.integer) NOT NULL
            )
            """,
            "CREATE INDEX \(tables.sagaMessages)_target ON \(tables.sagaMessages) (target, number) WHERE target IS NOT NULL",
            "CREATE INDEX \(tables.sagaMessages)_kept ON \(tables.sagaMessages) (name, type, key_text) WHERE target IS NULL",
            "CREATE INDEX \(tables.sagaMessages)_expiry ON \(tables.sagaMessages) (expiry) WHERE target IS NULL",
            """
            CREATE TABLE \(tables.sagaHistory) (
                saga \(dialect.text) NOT NULL, number \(dialect.integer) NOT NULL, written_at \(dialect.integer) NOT NULL,
                kind \(dialect.text) NOT NULL, step \(dialect.text), attempt \(dialect.integer), detail \(dialect.text),
                payload \(dialect.text), author \(dialect.text), message_id \(dialect.text), PRIMARY KEY (saga, number)
            )\(dialect.keyedTable)
            """,
            "CREATE INDEX \(tables.sagaHistory)_written ON \(tables.sagaHistory) (written_at)",
        ]
    }
}
