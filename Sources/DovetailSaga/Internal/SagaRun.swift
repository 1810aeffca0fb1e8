// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox

/// One run of an engine, from its start until it is stopped.
final class SagaRun<DB: SagaDatabase & OutboxDatabase>: Sendable {
    private struct State: Sendable {
        /// What this engine has claimed.
        var held: [SagaID: FencingToken] = [:]
        /// Started by this engine and not taken up yet.
        var accepted: [(row: SagaRow, clock: StoreClock)] = []
        var running = 0
        var isStopping = false
        var isOver = false
        var roomWaiters = WaiterList()
    }

    let workshop: SagaWorkshop<DB>
    private let wakeUp: WakeUp
    private let stopSignal = StopSignal()
    private let monitor = Monitor(State())

    private var settings: SagaEngineSettings { workshop.settings }
    private var runtime: Runtime { workshop.runtime }
    private var store: DB.Sagas { workshop.database.sagaStore }

    init(_ workshop: SagaWorkshop<DB>) {
        self.workshop = workshop
        wakeUp = workshop.database.sagaStore.wakeUp ?? WakeUp()
    }

    // MARK: From outside

    /// Whether a saga that is started now would be run at once.
    var hasRoom: Bool {
        monitor.withLock { !$0.isStopping && !$0.isOver && $0.running + $0.accepted.count < settings.concurrency }
    }

    /// Takes a saga that was started with a claim of this engine.
    func accept(_ row: SagaRow, _ clock: StoreClock) {
        let waiters = monitor.withLock { state -> Wakeup? in
            guard !state.isOver else { return nil }
            state.accepted.append((row, clock))
            state.held[row.id] = row.epoch
            return state.roomWaiters.wakeAll()
        }
        waiters?.resume()
    }

    /// Claims nothing more, and lets what is in hand come to a place where others can go on.
    func stop() {
        monitor.withLock { state in
            state.isStopping = true
            return state.roomWaiters.wakeAll()
        }.resume()
        stopSignal.give()
    }

    // MARK: The loop

    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.renewClaims() }
            group.addTask { await self.work() }
            _ = await group.next()
            group.cancelAll()
        }
    }

    private func work() async {
        await withDiscardingTaskGroup { group in
            var failures = 0
            while !Task.isCancelled, !isStopping {
                do {
                    for (row, clock) in try await next() {
                        group.addTask { await self.work(on: row, clock) }
                    }
                    failures = 0
                } catch {
                    guard !Task.isCancelled else { break }
                    failures += 1
                    report(error, during: "claim")
                    await pause(after: failures)
                }
            }
            for (row, clock) in takeAccepted() { group.addTask { await self.work(on: row, clock) } }
            await waitForWork(atMost: settings.grace)
            monitor.withLock { $0.isOver = true }
            group.cancelAll()
        }
    }

    private var isStopping: Bool { monitor.withLock { $0.isStopping } }

    /// Waits until there is something to do and room to do it.
    private func next() async throws -> [(SagaRow, StoreClock)] {
        let concurrency = settings.concurrency
        let room = try await monitor.wait(in: \.roomWaiters) { state -> Int? in
            if state.isStopping { return 0 }
            let room = concurrency - state.running
            return room > 0 ? room : nil
        }
        guard room > 0 else { return [] }
        let accepted = takeAccepted(atMost: room)
        if !accepted.isEmpty { return accepted }
        // A claim that was made must not be forgotten, or its sagas would have to wait for the end of the lease.
        let claim = try await withCancellationShield { [store, settings, workshop] in
            try await store.claim(workshop.catalogue.names, limit: room, lease: settings.lease)
        } onCancel: {
        }
        let clock = StoreClock(claim.now, time: runtime.time)
        guard claim.rows.isEmpty else {
            monitor.withLock { state in
                state.running += claim.rows.count
                for row in claim.rows { state.held[row.id] = row.epoch }
            }
            return claim.rows.map { ($0, clock) }
        }
        let wait = claim.nextDue.map { min(max($0, .milliseconds(1)), settings.pollInterval) } ?? settings.pollInterval
        try await idle(atMost: wait)
        return []
    }

    private func takeAccepted(atMost limit: Int = .max) -> [(SagaRow, StoreClock)] {
        monitor.withLock { state in
            let taken = state.accepted.prefix(limit)
            state.accepted.removeFirst(taken.count)
            state.running += taken.count
            return taken.map { ($0.row, $0.clock) }
        }
    }

    /// Waits until something may be due, this engine has started something, or is to stop.
    private func idle(atMost limit: Duration) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.wakeUp.wait(atMost: limit, time: self.runtime.time) }
            group.addTask {
                try await self.monitor.wait(in: \.roomWaiters) { state -> Void? in
                    state.isStopping || !state.accepted.isEmpty ? () : nil
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func waitForWork(atMost limit: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                try? await self.monitor.wait(in: \.roomWaiters) { $0.running == 0 ? () : nil }
            }
            group.addTask { try? await self.runtime.time.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
    }

    private func pause(after failures: Int) async {
        let backoff = ExponentialBackoff(from: .milliseconds(50), upTo: settings.pollInterval, attempts: .max)
        try? await runtime.time.sleep(for: backoff.delay(after: failures, random: runtime.random))
    }

    private func renewClaims() async {
        while (try? await runtime.time.sleep(for: settings.lease / 3)) != nil {
            let held = monitor.withLock { $0.held }
            guard !held.isEmpty else { continue }
            do {
                // Those that were lost find out when they save: until then nothing says that what runs is to be cut off.
                _ = try await store.renew(held, lease: settings.lease)
            } catch {
                report(error, during: "renew")
            }
        }
    }

    // MARK: One saga

    private func work(on row: SagaRow, _ clock: StoreClock) async {
        do {
            if let held = try await workshop.takeUp(row, clock: clock) {
                try await SagaWork(workshop, clock: clock, isStopping: { [self] in isStopping }).run(held)
            }
        } catch let error as DatabaseError where error.code == .leaseLost {
            report(error, during: "save", of: row.id)
        } catch {
            // The claim runs out, and an engine takes the saga up again.
            if !(error is CancellationError) { report(error, during: "save", of: row.id) }
        }
        monitor.withLock { state in
            state.running -= 1
            if state.held[row.id] == row.epoch { state.held[row.id] = nil }
            return state.roomWaiters.wakeAll()
        }.resume()
    }

    private func report(_ error: any Error, during operation: String, of id: SagaID? = nil) {
        guard let instrument = runtime.instrument else { return }
        let text = FailureDetail(error, of: nil, runtime: runtime).message
        instrument.record(SagaEngineFailed(operation: operation, id: id, error: text))
    }
}
