// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    import DovetailSQL

    /// The replication slot of an outbox, which keeps the log until it was read, and the publication it is read by.
    struct LogSlot: Sendable {
        let name: String
        let database: PostgresDatabase

        func prepare(acceptingLoss: Bool) async throws {
            try await checkServer()
            try await makePublication()
            let isMarked = try await database.isLogMarked()
            switch try await state() {
            case .usable: break
            case .none where isMarked && !acceptingLoss: throw DatabaseError.logLost("there is no slot '\(name)'")
            case .invalid(let reason) where !acceptingLoss:
                throw DatabaseError.logLost("the slot '\(name)' is \(reason)")
            case .none: try await make(replacing: false)
            case .invalid: try await make(replacing: true)
            }
            if !isMarked { try await database.markLog() }
        }

        private enum State {
            case none, usable
            case invalid(String)
        }

        private func checkServer() async throws {
            let level = try await query("SELECT current_setting('wal_level')").first?.text(0) ?? ""
            guard level == "logical" else {
                throw DatabaseError(
                    .unsupported,
                    "The server's 'wal_level' is '\(level)', so its log does not say what was committed. Set 'wal_level = logical' and "
                        + "restart it, or let the outbox write to its table."
                )
            }
        }

        private func state() async throws -> State {
            let rows = try await query(
                """
                SELECT COALESCE(plugin, ''), COALESCE(database, '') = current_database(), COALESCE(wal_status, 'lost')
                FROM pg_replication_slots WHERE slot_name = \(name)
                """)
            guard let row = rows.first else { return .none }
            guard try row.text(0) == "pgoutput", try row.integer(1) == 1 else {
                return .invalid("one of another database, or for another reader")
            }
            return try row.text(2) == "lost"
                ? .invalid("lost, since the server could keep no more log for it") : .usable
        }

        private func makePublication() async throws {
            let isThere: SQL = "SELECT 1 FROM pg_publication WHERE pubname = \(name)"
            guard try await query(isThere).isEmpty else { return }
            do {
                try await database.withTransaction(isolation: .readCommitted) { tx in
                    try await tx.execute("CREATE PUBLICATION \"\(raw: name)\"")
                }
            } catch {
                // Another program may have made it at the same time.
                if try await query(isThere).isEmpty { throw error }
            }
        }

        private func make(replacing isReplacing: Bool) async throws {
            do {
                try await database.withTransaction(isolation: .readCommitted) { tx in
                    if isReplacing { _ = try await tx.query("SELECT pg_drop_replication_slot(\(name))") }
                    // Waits for transactions that have begun before: what they write is not in the slot.
                    _ = try await tx.query("SELECT pg_create_logical_replication_slot(\(name), 'pgoutput')")
                }
            } catch {
                guard case .usable = try await state() else { throw error }
            }
        }

        /// How many bytes of log the server keeps for the slot.
        func retainedBytes() async throws -> Int64 {
            try await query(
                """
                SELECT CAST(COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0) AS BIGINT)
                FROM pg_replication_slots WHERE slot_name = \(name)
                """
            ).first?.integer(0) ?? 0
        }

        private func query(_ sql: SQL) async throws -> [SQLRow] {
            try await database.withReadTransaction { tx in try await tx.query(sql) }
        }
    }
#endif
