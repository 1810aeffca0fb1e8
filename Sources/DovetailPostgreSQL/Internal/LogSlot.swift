// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    import DovetailSQL

    /// The replication slot of an outbox, which keeps the log until it was read, and the publication it is read by.
    struct LogSlot: Sendable {
        let name: String
        let database: PostgresDatabase
        /// The table whose rows are read beside messages; `nil` if there is none.
        var table: PostgresEventTable?

        /// Checks that what is committed is kept, and makes what that needs.
        ///
        /// - Parameters:
        ///   - acceptingLoss: Whether to go on although the log was lost.
        ///   - isMaking: Whether to begin if nothing was made yet, or was taken back since.
        /// - Throws: `DatabaseError`, as ``PostgresLogRelay/prepare(acceptingLoss:)`` does; with `closed` if it was taken back.
        func prepare(acceptingLoss: Bool, isMaking: Bool = true) async throws {
            try validateName()
            let timeline = try await checkServer()
            let noted = try await database.logTimeline()
            if noted == nil, !isMaking { throw DatabaseError.logTakenBack(name) }
            let place = try await resolvedTable()
            let state = try await state(noted: noted, timeline: timeline)
            if case .lost(let reason, _) = state, !acceptingLoss { throw DatabaseError.logLost(reason) }
            // The publication first: what is committed before it is there cannot be read by it.
            let isNew = try await makePublication(of: place)
            switch state {
            case .missing, .lost(_, .nothing): try await make(replacing: false)
            case .lost(_, .broken): try await make(replacing: true)
            case .usable where isNew:
                // Somebody made the slot beforehand, and nothing was written for it yet.
                try await waitForOlderTransactions()
                try await change("SELECT pg_replication_slot_advance(\(name), pg_current_wal_lsn())")
            case .usable, .lost(_, .intact): break
            }
            if noted != timeline { try await database.noteLog(timeline: timeline) }
        }

        /// Takes back what `prepare` made; who reads the slot is disconnected.
        func remove() async throws {
            try validateName()
            // Throws if it is another's.
            _ = try await foundSlot()
            // Before the slot, so that nobody takes what is not there any more for lost.
            try await database.forgetLog()
            for attempt in 1... {
                do {
                    if try await foundSlot() != nil { try await drop() }
                    break
                } catch let error as DatabaseError where error.code == .locked && attempt < 100 {
                    try await Runtime.current.time.sleep(for: .milliseconds(50))
                }
            }
            try await database.withTransaction(isolation: .readCommitted) { tx in
                try await tx.execute("DROP PUBLICATION IF EXISTS \"\(raw: name)\"")
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

        // MARK: Checking

        private func validateName() throws {
            let isValid =
                (1...63).contains(name.utf8.count)
                && name.utf8.allSatisfy { byte in
                    switch byte {
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                        UInt8(ascii: "_"):
                        true
                    default: false
                    }
                }
            guard isValid else {
                throw DatabaseError(
                    .unsupported,
                    "'\(name)' is no name of a replication slot. Use 1 to 63 small letters, digits and underscores."
                )
            }
        }

        /// - Returns: The timeline of the server, which is another one after each failover.
        private func checkServer() async throws -> Int64 {
            let row = try await query(
                """
                SELECT current_setting('wal_level'), CAST(current_setting('server_version_num') AS BIGINT),
                    CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END
                """
            ).first
            try Self.check(level: row?.text(0) ?? "", version: row?.integer(1) ?? 0)
            guard let timeline = Int64(try row?.text(2) ?? "", radix: 16) else {
                throw DatabaseError(
                    .readOnlyDatabase,
                    "The server is a standby, and messages are published from the primary. Give the relay the primary's address; with "
                        + "several hosts in it, 'target_session_attrs=read-write' finds it."
                )
            }
            return timeline
        }

        /// Checks that a server's log says what was committed, and hands out messages.
        static func check(level: String, version: Int64) throws {
            guard version >= 140_000 else {
                throw DatabaseError(
                    .unsupported,
                    "The server is of version \(version / 10_000), and only from 14 on does its log hand out messages. Upgrade it, or let "
                        + "the outbox write to its table."
                )
            }
            guard level == "logical" else {
                throw DatabaseError(
                    .unsupported,
                    "The server's 'wal_level' is '\(level)', so its log does not say what was committed. Set 'wal_level = logical' and "
                        + "restart it, or let the outbox write to its table."
                )
            }
        }

        /// What of a lost slot is there.
        private enum Remains {
            case nothing, broken, intact
        }

        private enum State {
            case missing, usable
            case lost(String, Remains)
        }

        private func state(noted: Int64?, timeline: Int64) async throws -> State {
            guard let slot = try await foundSlot() else {
                return noted == nil ? .missing : .lost("there is no slot '\(name)'", .nothing)
            }
            if slot.isInvalid { return .lost("the server could not keep enough log for the slot '\(name)'", .broken) }
            guard let noted else { return .usable }
            // What was committed without a publication cannot be read by one that is made now.
            guard try await hasPublication() else { return .lost("the publication '\(name)' is gone", .broken) }
            guard noted == timeline || slot.isSynchronized else {
                return .lost(
                    "there was a failover, and whether the slot '\(name)' came along or was made anew is not known",
                    .intact)
            }
            return .usable
        }

        private struct Found {
            let isInvalid: Bool
            /// Whether it came along from a primary; only from version 17 on does a slot say so.
            let isSynchronized: Bool
        }

        /// - Throws: `DatabaseError` with `foreignSchema` if it is one of another database, or for another kind of reader.
        private func foundSlot() async throws -> Found? {
            let rows = try await query(
                """
                SELECT COALESCE(plugin, 'none'), COALESCE(database, 'none'), COALESCE(database, '') = current_database(),
                    COALESCE(wal_status, 'lost') = 'lost', COALESCE(to_jsonb(slot) ->> 'synced', 'false') = 'true'
                FROM pg_replication_slots AS slot WHERE slot_name = \(name)
                """)
            guard let row = rows.first else { return nil }
            guard try row.text(0) == "pgoutput", try row.integer(2) == 1 else {
                throw DatabaseError.foreignSlot(name, "database '\(try row.text(1))', plugin '\(try row.text(0))'")
            }
            return Found(isInvalid: try row.integer(3) == 1, isSynchronized: try row.integer(4) == 1)
        }

        private func hasPublication() async throws -> Bool {
            try await !query("SELECT 1 FROM pg_publication WHERE pubname = \(name)").isEmpty
        }

        // MARK: The table of events

        /// The table as the server writes its name; `nil` if none is read.
        func resolvedTable() async throws -> LogTable? {
            guard let table else { return nil }
            try table.validate()
            let rows = try await query(
                """
                SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), n.nspname, c.relname, a.attname
                FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                WHERE c.oid = to_regclass(\(table.quotedName))
                """)
            guard let first = rows.first else {
                throw DatabaseError(
                    .unsupported,
                    "There is no table '\(table.name)' to read events from. Create it, or correct its name; the schema goes before it, "
                        + "with a dot between."
                )
            }
            let there = Set(try rows.map { try $0.text(3) })
            let missing = table.columns.filter { !there.contains($0) }
            guard missing.isEmpty else {
                throw DatabaseError(
                    .unsupported,
                    "The table '\(table.name)' has no column \(missing.map { "'\($0)'" }.joined(separator: ", ")). Add it, or name the "
                        + "columns in the PostgresEventTable as they are."
                )
            }
            return LogTable(quoted: try first.text(0), schema: try first.text(1), name: try first.text(2))
        }

        // MARK: Making

        /// - Returns: Whether there was none.
        private func makePublication(of table: LogTable?) async throws -> Bool {
            if try await !hasPublication() {
                // Deletions and changes say nothing here. A table of several parts counts as one.
                let rows = table.map { SQL(raw: " FOR TABLE \($0.quoted)") } ?? SQL(raw: "")
                do {
                    try await change(
                        """
                        CREATE PUBLICATION "\(raw: name)"\(rows)
                        WITH (publish = 'insert', publish_via_partition_root = true)
                        """)
                    return true
                } catch {
                    // Another program may have made it at the same time.
                    guard try await hasPublication() else { throw error }
                }
            }
            guard let table else { return false }
            let isRead: SQL = """
                SELECT 1 FROM pg_publication_tables
                WHERE pubname = \(name) AND schemaname = \(table.schema) AND tablename = \(table.name)
                """
            guard try await query(isRead).isEmpty else { return false }
            do {
                try await change("ALTER PUBLICATION \"\(raw: name)\" ADD TABLE \(raw: table.quoted)")
            } catch {
                if try await query(isRead).isEmpty { throw error }
            }
            return false
        }

        private func make(replacing isReplacing: Bool) async throws {
            do {
                if isReplacing { try await drop() }
                // Waits for transactions that have begun before: what they write is not in the slot.
                try await change("SELECT pg_create_logical_replication_slot(\(name), 'pgoutput')")
            } catch {
                guard try await foundSlot()?.isInvalid == false else { throw error }
            }
        }

        /// Waits for transactions that have begun before, as whoever makes a slot does: what they write is read as of their
        /// beginning, when there was no publication, and the server refuses that.
        private func waitForOlderTransactions() async throws {
            let own = try await database.withTransaction(isolation: .readCommitted) { tx in
                try await tx.query("SELECT CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)").first?.integer(0) ?? 0
            }
            let oldest: SQL = "SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)"
            while let running = try await query(oldest).first?.integer(0), running <= own {
                try await Runtime.current.time.sleep(for: .milliseconds(50))
            }
        }

        /// - Throws: `DatabaseError` with `locked` if somebody reads it, who is disconnected.
        private func drop() async throws {
            let readers = try await query(
                """
                SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
                WHERE slot_name = \(name) AND active_pid IS NOT NULL
                """)
            guard readers.isEmpty else {
                throw DatabaseError(
                    .locked, "Another relay reads the slot '\(name)'. It is being disconnected; try again.")
            }
            do {
                try await change("SELECT pg_drop_replication_slot(\(name))")
            } catch let error as DatabaseError where (error.cause as? PostgresFailure)?.state == "55006" {
                throw DatabaseError(.locked, "Another relay reads the slot '\(name)'. End it first.", cause: error)
            }
        }

        private func change(_ sql: SQL) async throws {
            try await database.withTransaction(isolation: .readCommitted) { tx in _ = try await tx.query(sql) }
        }

        private func query(_ sql: SQL) async throws -> [SQLRow] {
            try await database.withReadTransaction { tx in try await tx.query(sql) }
        }
    }

    /// A table whose rows are read from the log.
    struct LogTable: Sendable, Hashable {
        /// As it stands in a statement.
        let quoted: String
        let schema: String
        let name: String
    }

    extension DatabaseError {
        /// What was written to the log and not yet published is not there any more.
        static func logLost(_ reason: String, cause: (any Error)? = nil) -> DatabaseError {
            DatabaseError(
                .logLost,
                "The server no longer keeps the part of its log from which messages were to be published (\(reason)), so some may never "
                    + "have been. Find out which from the business rows and publish them again; then go on with "
                    + "'prepare(acceptingLoss: true)'. After a failover, see to it that the slot exists on the standby too.",
                cause: cause
            )
        }

        static func logTakenBack(_ slot: String) -> DatabaseError {
            DatabaseError(
                .closed,
                "The slot '\(slot)' was taken back by 'remove()' while this relay ran. To go on, prepare the relay and run it anew."
            )
        }

        static func foreignSlot(_ slot: String, _ owner: String) -> DatabaseError {
            DatabaseError(
                .foreignSchema,
                "The slot '\(slot)' is another's (\(owner)). Slots belong to the whole server, not to one of its databases: give this "
                    + "relay one of its own with the parameter 'slot'."
            )
        }
    }
#endif
