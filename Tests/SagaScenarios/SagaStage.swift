// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga
import DovetailSimulation

/// Where scenarios of engines are played: two databases that keep the same, as two programs have them, and a clock that a scenario
/// may move on.
///
/// Everything runs on the threads that the machine has. The clock runs by itself, faster than the machine's, but so slowly that no lease
/// runs out because somebody has to wait for a processor.
struct SagaStage<DB: ScenarioDatabase>: Sendable {
    let time: VirtualTime
    let runtime: Runtime
    let one: DB
    let two: DB

    static var lease: Duration { .seconds(20) }

    func engine(
        _ saga: any Saga, in database: DB, mostTakeovers: Int = 10, runtime: Runtime? = nil
    ) throws -> SagaEngine<DB> {
        try SagaEngine(
            saga, in: database, settings: Self.settings(mostTakeovers), runtime: runtime ?? self.runtime)
    }

    /// An engine on a database with which something is wrong.
    func engine(
        _ saga: any Saga, troubled trouble: Trouble, concurrency: Int = 64, mostTakeovers: Int = 10
    ) throws -> SagaEngine<TroubledDatabase<DB>> {
        try SagaEngine(
            saga, in: TroubledDatabase(one, trouble), settings: Self.settings(mostTakeovers, concurrency),
            runtime: runtime)
    }

    private static func settings(_ mostTakeovers: Int, _ concurrency: Int = 64) -> SagaEngineSettings {
        SagaEngineSettings(
            concurrency: concurrency, pollInterval: .milliseconds(100), lease: lease, mostTakeovers: mostTakeovers,
            grace: .seconds(1))
    }

    /// Runs services beside a body, and the clock beside both.
    func running(_ services: any Service..., during body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { clock in
            clock.addTask { [time] in
                while !Task.isCancelled {
                    time.advance(by: .milliseconds(10))
                    try await SystemTime().sleep(for: .milliseconds(2))
                }
            }
            defer { clock.cancelAll() }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for service in services {
                    group.addTask { [runtime] in
                        try await Runtime.$current.withValue(runtime) { try await service.run() }
                    }
                }
                defer { group.cancelAll() }
                try await body()
                group.cancelAll()
                while try await group.next() != nil {}
            }
        }
    }

    /// Waits until something is so, which must not take longer than a minute of the machine.
    func until(_ what: String, _ isSo: () async throws -> Bool) async throws {
        for _ in 0..<12_000 {
            if try await isSo() { return }
            try await SystemTime().sleep(for: .milliseconds(5))
        }
        throw NeverSo(what: what)
    }

    /// Waits until sagas have ended or wait for a person.
    func untilOver<Other>(_ engine: SagaEngine<Other>, _ ids: SagaID...) async throws {
        try await until("\(ids) are over") {
            for id in ids {
                guard let status = try await engine.instance(id)?.status else { return false }
                guard status.isFinal || status == .parked else { return false }
            }
            return true
        }
    }

    struct NeverSo: Error, CustomStringConvertible {
        let what: String
        var description: String { "It has not come to this within a minute: \(what)." }
    }
}
