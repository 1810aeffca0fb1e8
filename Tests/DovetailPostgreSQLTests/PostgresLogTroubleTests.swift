// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import TestSupport
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    /// What goes wrong between a log relay and its server, and with the server itself.
    @Suite(
        .serialized, .timeLimit(.minutes(10)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresLogTroubleTests {
        @Test("A connection that is cut at any point costs no message, and the order of first arrivals stays")
        func cutConnection() async throws {
            let proxy = try LoopbackProxy()
            try proxy.start()
            try await withLog(LogShop.Options(logAddress: proxy.address)) { shop in
                let ids = (0..<300).map(String.init)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await shop.relay.run() }
                    for (number, id) in ids.enumerated() {
                        try await shop.publish([id])
                        if number % 40 == 39 { proxy.cut() }
                    }
                    try await untilTrue { shop.sink.ids.contains("299") }
                    group.cancelAll()
                    while let ended = await group.nextResult() {
                        if case .failure(let error) = ended, !(error is CancellationError) { throw error }
                    }
                }
                #expect(shop.firsts == ids)
                #expect(proxy.accepted > 1)
            }
            proxy.stop()
        }

        @Test("A server that has fallen silent is noticed, and the relay connects anew") func silence() async throws {
            let proxy = try LoopbackProxy()
            try proxy.start()
            try await withLog { shop in
                let impatient = LogShop(
                    prefix: shop.prefix,
                    LogShop.Options(
                        configuration: PostgresConfiguration(connectTimeout: .seconds(1), responseTimeout: .seconds(2)),
                        logAddress: proxy.address))
                let isPublished = Shared(false)
                try await shop.publish(["1"])
                try await impatient.run {
                    guard impatient.sink.ids.contains("1") else { return false }
                    // What this sends does not arrive, so no answer comes either.
                    proxy.swallow(proxy.accepted == 1)
                    if proxy.accepted > 1, !isPublished.value {
                        try await shop.publish(["2"])
                        isPublished.change { $0 = true }
                    }
                    return impatient.sink.ids.contains("2")
                }
                #expect(impatient.firsts == ["1", "2"])
                await impatient.database.close()
            }
            proxy.stop()
        }

        @Test(
            "A silent server is noticed however short each look is, and one that was not listened to is not silent"
        )
        func silenceBetweenLooks() async throws {
            let proxy = try LoopbackProxy()
            try proxy.start()
            try await withLog { shop in
                let source = LogSource(
                    slot: shop.relay.slot, mark: shop.relay.mark, table: nil, published: LogProgress())
                let connection = try await LogConnection.open(
                    PostgresAddress(proxy.address), PostgresConfiguration(responseTimeout: .seconds(2)), source: source)
                // It has answered when somebody listens again, also if only for a moment that is over at once.
                for limit in [Duration.milliseconds(100), .zero] {
                    try await connection.reply()
                    try await SystemTime().sleep(for: .milliseconds(2200))
                    _ = try await connection.read(atMost: 1, within: limit)
                }
                proxy.swallow(true)
                let error = await #expect(throws: DatabaseError.self) {
                    for _ in 0..<100 { _ = try await connection.read(atMost: 1, within: .milliseconds(100)) }
                }
                #expect(error?.message.contains("silent") == true)
                await connection.close()
            }
            proxy.stop()
        }

        // MARK: The server ends

        @Test(
            "A server that is stopped or killed and comes back costs no message, and the order of first arrivals stays",
            arguments: [false, true])
        func restart(isKilled: Bool) async throws {
            try await withOwnServer { server in
                try await server.start()
                let shop = LogShop(server.address, prefix: "shop_")
                try await shop.relay.prepare()
                let committed = Shared<[String]>([])
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await shop.relay.run() }
                    // Goes on all the time; what fails was not committed, or nobody knows.
                    group.addTask {
                        for number in 0..<400 {
                            do {
                                try await shop.publish(["\(number)"])
                                committed.change { $0.append("\(number)") }
                            } catch let error as DatabaseError where error.code == .unavailable {}
                        }
                    }
                    for round in 1...2 {
                        try await untilTrue { committed.value.count > round * 100 }
                        if isKilled { try await server.kill() } else { try await server.stop() }
                        try await server.start()
                    }
                    try await untilTrue { committed.value.last == "399" }
                    try await untilTrue { shop.sink.ids.contains("399") }
                    group.cancelAll()
                    while let ended = await group.nextResult() {
                        if case .failure(let error) = ended, !(error is CancellationError) { throw error }
                    }
                }
                // A commit whose answer was lost may have happened.
                let arrived = shop.firsts
                #expect(Set(committed.value).isSubset(of: arrived))
                #expect(arrived == arrived.sorted { (Int($0) ?? 0) < (Int($1) ?? 0) })
                await shop.close()
            }
        }

        @Test(
            "A server that is to stop need not wait for a transport that takes nothing, and nothing is published twice for that"
        )
        func stopsWhileNothingIsTaken() async throws {
            try await withOwnServer { server in
                try await server.start()
                let shop = LogShop(
                    server.address, prefix: "shop_",
                    LogShop.Options(
                        settings: PostgresLogRelaySettings(retry: .constant(.milliseconds(20), attempts: .max))))
                try await shop.relay.prepare()
                shop.sink.refuse { _, _ in TransportError(.unavailable, "away") }
                try await shop.publish(["1", "2"])
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await shop.relay.run() }
                    try await untilTrue { shop.sink.calls > 0 }
                    try await server.stop()
                    // Killed, as a server is that does not stop, it would say nothing.
                    #expect(try server.log().hasSuffix("database system is shut down\n"))
                    // What was in hand is published although the server is away, and it is heard of later.
                    shop.sink.refuse { _, _ in nil }
                    try await untilTrue { shop.sink.ids.count == 2 }
                    try await server.start()
                    try await shop.publish(["3"])
                    try await untilTrue { shop.sink.ids.contains("3") }
                    group.cancelAll()
                    while let ended = await group.nextResult() {
                        if case .failure(let error) = ended, !(error is CancellationError) { throw error }
                    }
                }
                #expect(shop.sink.ids == ["1", "2", "3"])
                await shop.close()
            }
        }

        @Test("A server without a logical log is refused by name, before anything is made")
        func noLogicalLog() async throws {
            try await withOwnServer { server in
                try await server.start("-c wal_level=replica")
                let shop = LogShop(server.address, prefix: "shop_")
                let error = await #expect(throws: DatabaseError.self) { try await shop.relay.prepare() }
                #expect(error?.code == .unsupported && error?.message.contains("wal_level = logical") == true)
                await shop.database.close()
            }
        }

        @Test("A slot for which the server could keep no more log ends the relay by name, also while it reads")
        func invalidatedSlot() async throws {
            try await withOwnServer { server in
                try await server.start("-c max_slot_wal_keep_size=1MB")
                for isReading in [false, true] {
                    let shop = LogShop(
                        server.address, prefix: "shop\(isReading)_",
                        LogShop.Options(
                            settings: PostgresLogRelaySettings(retry: .constant(.milliseconds(20), attempts: .max))))
                    try await shop.relay.prepare()
                    // Nothing is taken, so nothing is let go.
                    shop.sink.refuse { _, _ in TransportError(.unavailable, "away") }
                    try await shop.publish(["1"])
                    let reading = isReading ? Task { await shop.failure() } : nil
                    try await untilTrue { !isReading || shop.sink.calls > 0 }
                    // A segment of the log each time, whatever is in it.
                    for _ in 0..<4 {
                        try await shop.ask("SELECT pg_switch_wal()")
                        try await server.perform("CHECKPOINT")
                    }
                    shop.sink.refuse { _, _ in nil }
                    let error = if let reading { await reading.value } else { await shop.failure() }
                    #expect(error?.code == .logLost && error?.message.contains("enough log") == true)
                    try await shop.relay.prepare(acceptingLoss: true)
                    try await shop.publish(["2"])
                    try await shop.run { shop.sink.ids.contains("2") }
                    await shop.close()
                }
            }
        }

        @Test("After a failover the relay says that messages may be lost, also when somebody has made the slot anew")
        func failover() async throws {
            try await withOwnServer { primary in
                try await primary.start()
                let standby = try await primary.makeStandby()
                let result: Result<Void, any Error>
                do {
                    try await failOver(from: primary, to: standby)
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                await standby.clean()
                try result.get()
            }
        }

        @Test("What was published on one timeline hides nothing of what is written on another")
        func otherTimeline() async throws {
            try await withLog { shop in
                try await shop.publish(["1"])
                // As after a failover to a standby that was far behind.
                let place = LogPosition(number: 1 << 60)
                let ahead = LogProgress(timeline: 0, end: place, part: LogProgress.Part(commit: place, count: 1))
                let run = LogRelayRun(shop.relay, runtime: .current)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await run.run(from: ahead) { _ in } }
                    group.addTask { try await untilTrue { !shop.sink.ids.isEmpty } }
                    try await group.next()
                    group.cancelAll()
                    while let ended = await group.nextResult() {
                        if case .failure(let error) = ended, !(error is CancellationError) { throw error }
                    }
                }
                #expect(shop.sink.ids == ["1"])
            }
        }

        @Test("The end of an earlier transaction makes no relay forget what it has published of a later one")
        func partBehindTheEnd() async throws {
            try await withLog { shop in
                let (slot, reached) = (shop.relay.slot, Shared<LogProgress?>(nil))
                let source = LogSource(slot: slot, mark: shop.relay.mark, table: nil, published: LogProgress())
                let connection = try await LogConnection.open(
                    PostgresAddress(Way.direct.address), PostgresConfiguration(), source: source)
                // A transaction that ends behind all others.
                let part = LogProgress.Part(commit: LogPosition(number: 1 << 60), count: 1)
                let ahead = LogProgress(timeline: connection.start.timeline, part: part)
                await connection.close()
                try await untilTrue {
                    try await shop.ask("SELECT 1 FROM pg_replication_slots WHERE slot_name = \(slot) AND active")
                        .isEmpty
                }
                try await shop.publish(["1"])
                let run = LogRelayRun(shop.relay, runtime: .current)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await run.run(from: ahead) { progress in reached.change { $0 = progress } } }
                    group.addTask { try await untilTrue { reached.value != nil } }
                    try await group.next()
                    group.cancelAll()
                    while let ended = await group.nextResult() {
                        if case .failure(let error) = ended, !(error is CancellationError) { throw error }
                    }
                }
                #expect((reached.value?.end ?? .zero) > .zero)
                #expect(reached.value?.part == part)
            }
        }

        private func failOver(from primary: OwnServer, to standby: OwnServer) async throws {
            let both = "postgresql://dovetail@127.0.0.1:\(primary.port),127.0.0.1:\(standby.port)/dovetail"
            let shop = LogShop(both + "?target_session_attrs=read-write", prefix: "shop_")
            try await shop.relay.prepare()
            let ended = Task { await shop.failure() }
            try await shop.publish(["1"])
            try await untilTrue { shop.sink.ids == ["1"] }
            // The standby has what was committed, and nobody has published it.
            shop.sink.refuse { _, _ in TransportError(.unavailable, "away") }
            try await shop.publish(["lost"])
            let rows = try await shop.ask("SELECT CAST(pg_current_wal_lsn() AS TEXT)")
            let end = try rows[0].text(0)
            try await untilTrue {
                try await shop.ask(
                    "SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= CAST(\(end) AS pg_lsn)"
                ).isEmpty == false
            }
            try await primary.kill()
            try await standby.perform("SELECT pg_promote()")
            shop.sink.refuse { _, _ in nil }
            let error = await ended.value
            #expect(error?.code == .logLost && error?.message.contains("no slot") == true)
            // As somebody may do who only reads the first half of the message.
            try await shop.ask("SELECT pg_create_logical_replication_slot(\(shop.relay.slot), 'pgoutput')")
            let again = await shop.failure()
            #expect(again?.code == .logLost && again?.message.contains("failover") == true)
            try await shop.relay.prepare(acceptingLoss: true)
            try await shop.publish(["2"])
            try await shop.run { shop.sink.ids.contains("2") }
            #expect(shop.firsts == ["1", "2"])
            await shop.close()
        }
    }
#endif
