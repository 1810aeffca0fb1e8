// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10))) struct CrashPointCheckTests {
    private static func failure(of scenario: ServiceScenario) async throws -> String {
        let failure = await #expect(throws: CheckFailure.self) { try await CrashPointCheck().verify(scenario) }
        #expect(failure?.check == "crashPoint")
        return failure?.message ?? ""
    }

    private static func payments(_ defect: Payments.Defect? = nil) -> ServiceScenario {
        ServiceScenario(delivering: OrderPlaced.sample) { node in Payments(node, defect) }
    }

    @Test("A service that writes and publishes in one transaction passes")
    func rightPasses() async throws {
        try await CrashPointCheck().run(Self.payments())
    }

    @Test("A message that is acknowledged before the commit is lost, and the text says where")
    func acknowledgesBeforeCommit() async throws {
        let scenario = ServiceScenario(delivering: OrderPlaced.sample) {
            HandmadePayments($0, .acknowledgesBeforeCommit)
        }
        let text = try await Self.failure(of: scenario)
        #expect(text.hasPrefix("'service' crashed before its "))
        let cause = " effect, 'begin a transaction', and ended otherwise than without the crash:\n"
        #expect(text.contains(cause + "  ledger/42: 300 → no row\nIt had done: subscribe, receive, "))
        #expect(
            text.contains(
                """
                , settle.
                Write, and publish through an outbox, in one transaction, and acknowledge after its commit.

                """))
        #expect(text.hasSuffix(" crash points end otherwise; this is the first."))
    }

    @Test("What is published after the commit is never published")
    func dualWrite() async throws {
        let text = try await Self.failure(of: Self.payments(.dualWrite))
        #expect(text.contains("'service' crashed before its "))
        #expect(text.contains(", 'publish', and ended otherwise"))
        #expect(text.contains("  published shop.payment.succeeded: {cents: 300, orderID: \"42\"} → never\n"))
    }

    @Test("What is published before the commit is published twice")
    func publishesBeforeCommit() async throws {
        let text = try await Self.failure(of: Self.payments(.publishesBeforeCommit))
        #expect(text.contains(", 'commit a transaction', and ended otherwise"))
        #expect(text.contains("  published shop.payment.succeeded: once → 2 times\n"))
    }

    @Test("What is done outside the transaction is done twice")
    func effectOutside() async throws {
        let text = try await Self.failure(of: Self.payments(.effectOutsideTransaction))
        #expect(text.contains("  charges/42/‹id› in 'gateway': 1 row → 2 rows\n      new: 300\n"))
    }

    @Test("A key that is recorded before the work keeps the work from being done")
    func keyBeforeWork() async throws {
        let text = try await Self.failure(of: Self.payments(.keyBeforeWork))
        #expect(text.contains("  ledger/42: 300 → no row\n"))
        #expect(text.contains("  published shop.payment.succeeded: {cents: 300, orderID: \"42\"} → never\n"))
    }

    @Test("Each effect of each service is crashed at once, in turn")
    func everyPoint() async throws {
        /// Three effects that change nothing between them, and a row each time it starts.
        struct Counting: Service {
            let node: DovetailSimulation.Node
            func run() async throws {
                let database = node.database
                let rows = database.table("rows", of: Int.self)
                try await database.withTransaction { tx in try await rows.put(1, at: "row", in: tx) }
                let subscription = try await node.bus.subscribe(to: [OrderPlaced.topic], as: "counting")
                while true {
                    for delivery in try await subscription.next(atMost: 1) {
                        try await subscription.settle([.acknowledge(delivery.id)])
                    }
                }
            }
        }
        let starts = Mutex<[String: Int]>([:])
        let scenario = ServiceScenario("first", delivering: OrderPlaced.sample) { node in
            starts.withLock { $0["first", default: 0] += 1 }
            return Counting(node: node)
        }
        .adding("second") { node in
            starts.withLock { $0["second", default: 0] += 1 }
            return Counting(node: node)
        }
        try await CrashPointCheck().verify(scenario)
        // Four runs without a crash; then each point of a service starts it twice, and the other one once.
        let (first, second) = starts.withLock { (($0["first"] ?? 0) - 4, ($0["second"] ?? 0) - 4) }
        let points = [2 * first - second, 2 * second - first]
        // begin, use, use, commit; subscribe; receive; settle; receive: six of these are the least.
        #expect(points.allSatisfy { $0 % 3 == 0 && $0 / 3 >= 6 }, "\(first) and \(second) starts")
    }

    @Test("A service that does otherwise with the same seed is told so")
    func notTheSame() async throws {
        struct Moody: Service {
            let node: DovetailSimulation.Node
            let isLong: Bool
            func run() async throws {
                let rows = node.database.table("rows", of: Int.self)
                let subscription = try await node.bus.subscribe(to: [OrderPlaced.topic], as: "moody")
                for delivery in try await subscription.next(atMost: 1) {
                    try await node.database.withTransaction { tx in
                        for _ in 0..<(isLong ? 9 : 1) { try await rows.put(1, at: "row", in: tx) }
                    }
                    try await subscription.settle([.acknowledge(delivery.id)])
                }
                try await Runtime.current.time.sleep(for: .seconds(1_000_000))
            }
        }
        let runs = Mutex(0)
        let scenario = ServiceScenario(delivering: OrderPlaced.sample) { node in
            let run = runs.withLock { runs in
                runs += 1
                return runs
            }
            // Long in the four runs without a crash, short in those that follow.
            return Moody(node: node, isLong: run <= 4)
        }
        #expect(try await Self.failure(of: scenario).contains("came to no such effect in the next with the same seed"))
    }

    @Test("Of too many points some are tried, the first and the last among them")
    func somePoints() async throws {
        let crashes = Mutex(0)
        let scenario = ServiceScenario(delivering: OrderPlaced.sample) { node in
            if node.number > 1 { crashes.withLock { $0 += 1 } }
            return Payments(node)
        }
        try await CrashPointCheck(mostPoints: 5).verify(scenario)
        #expect(crashes.withLock { $0 } == 5)
    }
}
