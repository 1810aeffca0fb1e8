// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import CPostgreSQLFloors
    import DovetailCore
    import DovetailOutbox
    import DovetailPostgreSQL
    import DovetailSQL

    /// How fast what was written to the log of a server is read back.
    enum PostgresLogWorkloads {
        /// A slot and a publication have this name.
        static func slot(of tables: PostgresTables) -> String { tables.prefix + "outbox" }

        static func dropSlot(of tables: PostgresTables) async throws {
            // A reader that has gone is noticed a moment later.
            let readers = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '\(slot(of: tables))' AND active"
            while try PostgresTables.number(readers) > 0 { try await SystemTime().sleep(for: .milliseconds(10)) }
            try PostgresTables.execute("SELECT pg_drop_replication_slot('\(slot(of: tables))')")
            try PostgresTables.execute("DROP PUBLICATION \(slot(of: tables))")
        }

        static let relay = Workload.cleaningUp("log relay to a transport that does nothing") { count in
            let tables = try PostgresTables(outbox: .log)
            let transport = IdleTransport(expecting: count)
            let relay = PostgresLogRelay(from: tables.database, to: transport)
            try await relay.prepare()
            try await StoreWorkloads.fill(tables.database, with: OutboxWorkloads.messages(count, keys: 1_000))
            return Workload.Run {
                try await Workload.running(relay) { await transport.untilAllArrived() }
            } after: {
                try await dropSlot(of: tables)
                try await tables.close()
            }
        }

        static let bareReader = Workload.cleaningUp("a slot reader in C") { count in
            let tables = try PostgresTables()
            let (slot, address) = (slot(of: tables), try PostgresTables.address())
            try PostgresTables.execute("CREATE PUBLICATION \(slot)")
            try PostgresTables.execute("SELECT pg_create_logical_replication_slot('\(slot)', 'pgoutput')")
            // As long as what the library writes.
            try PostgresTables.execute(
                """
                DO $$ BEGIN
                    FOR number IN 1..\(count / 100) LOOP
                        PERFORM pg_logical_emit_message(true, 'floor', repeat('x', 530)) FROM generate_series(1, 100);
                        COMMIT;
                    END LOOP;
                END $$
                """)
            return Workload.Run {
                try PostgresTables.check(floor_postgres_read_log(address, slot, Int32(count)))
            } after: {
                try await dropSlot(of: tables)
                try await tables.close()
            }
        }
    }
#endif
