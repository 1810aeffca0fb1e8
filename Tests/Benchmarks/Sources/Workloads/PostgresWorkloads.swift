// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import CPostgreSQLFloors
    import DovetailCore
    import DovetailOutbox
    import DovetailPostgreSQL
    import DovetailSQL

    extension Catalogue {
        /// None without a server.
        static var postgres: [Comparison] { PostgresTables.server == nil ? [] : postgresRows }

        private static let postgresRows = [
            Comparison(
                "PostgreSQL, outbox, append in a transaction", in: .perSecond("commits"), count: 3_000,
                budget: .timesFloor(1.15),
                of: PostgresWorkloads.transactions("a row and an envelope", .rowAndEnvelope),
                over: PostgresWorkloads.transactions("the same transaction without it", .row),
                PostgresWorkloads.bareCommits("both rows in C", floor_postgres_row),
                PostgresWorkloads.bareCommits("the row alone in C", floor_postgres_nothing)
            ),
            Comparison(
                "PostgreSQL, outbox, append to the log", in: .perSecond("commits"), count: 3_000,
                budget: .timesFloor(1.05),
                of: PostgresWorkloads.loggedTransactions,
                over: PostgresWorkloads.transactions("the same transaction without it", .row),
                PostgresWorkloads.bareCommits("the row and the message in C", floor_postgres_log)
            ),
            Comparison(
                "PostgreSQL, relay", in: .perSecond("rows"), count: 100_000, budget: .timesFloor(2.5),
                of: PostgresWorkloads.relay("relay to a transport that does nothing, no keys"),
                over: PostgresWorkloads.bareDrain("WITH … DELETE … RETURNING in C, batches of 500")
            ),
            Comparison(
                "PostgreSQL, relay, 1,000 keys", in: .perSecond("rows"), count: 100_000, budget: .timesFloor(2.5),
                of: StoreWorkloads.relay(
                    "relay to a transport that does nothing, 1,000 keys", keys: 1_000, in: PostgresTables.opened),
                over: PostgresWorkloads.bareDrain("WITH … DELETE … RETURNING in C, batches of 500")
            ),
            Comparison(
                "PostgreSQL, relay, a million waiting", in: .perSecond("rows"), count: 100_000,
                budget: .timesFloor(2.5),
                of: PostgresWorkloads.relay("the first of a million rows", waiting: 1_000_000),
                over: PostgresWorkloads.bareDrain("the same in C", waiting: 1_000_000)
            ),
            Comparison(
                "PostgreSQL, log relay, 100 events a transaction", in: .perSecond("messages"), count: 100_000,
                budget: .timesFloor(2.5),
                of: PostgresLogWorkloads.relay, over: PostgresLogWorkloads.bareReader
            ),
            Comparison(
                "PostgreSQL, once-only consumer", in: .perSecond("messages"), count: 3_000, budget: .timesFloor(2),
                of: StoreWorkloads.once(
                    "one after the other: a key and a row", concurrency: 1, in: PostgresTables.opened),
                over: PostgresWorkloads.bareCommits("both rows in C", floor_postgres_key)
            ),
            Comparison(
                "PostgreSQL, once-only consumer, sixteen at once", in: .perSecond("messages"), count: 10_000,
                budget: .timesFloor(2),
                of: StoreWorkloads.once("sixteen at once: a key and a row", concurrency: 16, in: PostgresTables.opened),
                over: PostgresWorkloads.bareCommits(
                    "both rows in C, 16 connections", floor_postgres_key, connections: 16)
            ),
            Comparison(
                "PostgreSQL, saga of three steps", in: .perSecond("sagas"), count: 500, budget: .timesFloor(2),
                of: SagaWorkloads.sagas("one after the other", atOnce: 1, in: PostgresTables.opened),
                over: PostgresWorkloads.bareSagas("the same rows in four commits in C")
            ),
            Comparison(
                "PostgreSQL, saga of three steps, sixteen at once", in: .perSecond("sagas"), count: 2_000,
                budget: .timesFloor(2),
                of: SagaWorkloads.sagas("sixteen at once", atOnce: 16, in: PostgresTables.opened),
                over: PostgresWorkloads.bareSagas("the same rows in four commits in C, 16 connections", connections: 16)
            ),
        ]
    }

    /// What the stores cost over what PostgreSQL does by itself.
    enum PostgresWorkloads {
        // MARK: Committing

        static func transactions(_ name: String, _ writes: StoreWorkloads.Writes) -> Workload {
            StoreWorkloads.transactions(name, writes, in: PostgresTables.opened)
        }

        /// Events are written to the log, and nobody reads them.
        static let loggedTransactions = StoreWorkloads.transactions("a row and a message", .rowAndEnvelope) {
            let tables = try PostgresTables(outbox: .log)
            try await PostgresLogRelay(from: tables.database, to: IdleTransport(expecting: 0)).prepare()
            // What a slot keeps back would weigh on all that comes behind.
            try await PostgresLogWorkloads.dropSlot(of: tables)
            return tables
        }

        static func bareCommits(
            _ name: String, _ extra: floor_postgres_extra, connections: Int32 = 1
        ) -> Workload {
            plain(name) { address, prefix, count in
                floor_postgres_commit(address, prefix, count, connections, extra)
            }
        }

        static func bareSagas(_ name: String, connections: Int32 = 1) -> Workload {
            plain(name) { address, prefix, count in floor_postgres_sagas(address, prefix, count, connections) }
        }

        /// Something in C that writes to tables like the library's.
        private static func plain(
            _ name: String, _ body: @escaping @Sendable (_ address: String, _ prefix: String, _ count: Int32) -> Int32
        ) -> Workload {
            Workload.cleaningUp(name) { count in
                let (tables, address) = (try await PostgresTables.opened(), try PostgresTables.address())
                return Workload.Run {
                    try PostgresTables.check(body(address, tables.prefix, Int32(count)))
                } after: {
                    try await tables.close()
                }
            }
        }

        // MARK: Relaying

        /// Relays so many of the rows that wait; as many as wait if nothing else is said.
        static func relay(_ name: String, waiting: Int? = nil) -> Workload {
            Workload.cleaningUp(name) { count in
                let tables = try await PostgresTables.opened()
                try await fill(tables, with: max(count, waiting ?? count))
                return Workload.Run {
                    try await StoreWorkloads.empty(tables.database, of: count)
                } after: {
                    let left = try PostgresTables.number("SELECT count(*) FROM \(tables.prefix)outbox")
                    let most = max(0, (waiting ?? count) - count)
                    guard left <= most else { throw WorkloadError("\(left) messages are left instead of \(most).") }
                    try await tables.close()
                }
            }
        }

        static func bareDrain(_ name: String, waiting: Int? = nil) -> Workload {
            Workload.cleaningUp(name) { count in
                let tables = try await PostgresTables.opened()
                try await fill(tables, with: max(count, waiting ?? count))
                let address = try PostgresTables.address()
                return Workload.Run {
                    try PostgresTables.check(
                        floor_postgres_drain(
                            address, "\(tables.prefix)outbox", 500, Int32(count), nil, nil, nil))
                } after: {
                    try await tables.close()
                }
            }
        }

        /// Publishes one message, and multiplies its row.
        static func fill(_ tables: PostgresTables, with count: Int, topic: Topic = Samples.topic) async throws {
            try await StoreWorkloads.fill(tables.database, with: [Samples.message(payloadBytes: 200, topic: topic)])
            let outbox = "\(tables.prefix)outbox"
            try PostgresTables.execute(
                """
                INSERT INTO \(outbox) (due, lane, attributes, payload)
                SELECT due, lane, regexp_replace(attributes, '"id":"[^"]*"', '"id":"' || gen_random_uuid() || '"'), payload
                FROM \(outbox), generate_series(2, \(count))
                """)
            try tables.settle("outbox")
        }
    }
#else
    extension Catalogue {
        /// Needs the trait PostgreSQL.
        static let postgres: [Comparison] = []
    }
#endif
