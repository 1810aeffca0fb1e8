// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox

/// One run of an engine, from its start until it is stopped.
final class SagaRun<DB: SagaDatabase & OutboxDatabase>: Sendable {
    private struct State: Sendable {
        /// What this engine has claimed.
        var held: [SagaID: FencingToken] = [:]
        /// Who looks for what is to do beside bodies that run, in what this engine has in hand.
        var watches: [SagaID: SagaWatch] = [:]
        /// When they were last told to look.
        var lastHint: MonotonicInstant?
        /// Whether they are to be told again.
        var isHinted = false
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
        let room = try await waitForRoom()
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

    /// Waits until there is room for another saga, and passes on hints to those that run.
    ///
    /// - Returns: For how many there is; 0 if this engine is to stop.
    private func waitForRoom() async throws -> Int {
        let concurrency = settings.concurrency
        let room: @Sendable (inout State) -> Int? = { state in
            if state.isStopping { return 0 }
            let room = concurrency - state.running
            return room > 0 ? room : nil
        }
        if let found = monitor.withLock({ room(&$0) }) { return found }
        return try await withThrowingTaskGroup(of: Int.self) { group in
            group.addTask { try await self.monitor.wait(in: \.roomWaiters, until: room) }
            group.addTask {
                var isOwed = false
                // It may have been meant for a saga that there was no room for.
                defer { if isOwed { self.wakeUp.notify() } }
                while true {
                    if try await self.listen(atMost: nil) { isOwed = true }
                }
            }
            defer { group.cancelAll() }
            return try await group.next() ?? 0
        }
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
            group.addTask { _ = try await self.listen(atMost: limit) }
            group.addTask {
                try await self.monitor.wait(in: \.roomWaiters) { state -> Void? in
                    state.isStopping || !state.accepted.isEmpty ? () : nil
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Waits for a hint, or until one that was put off is due, and passes it on; as long as it takes without a limit.
    ///
    /// - Returns: Whether a hint was given.
    private func listen(atMost limit: Duration?) async throws -> Bool {
        let (now, least) = (runtime.time.monotonic(), leastBetweenHints)
        let rest = monitor.withLock { state -> Duration? in
            guard state.isHinted, let last = state.lastHint else { return limit }
            let rest = max(.zero, last + least - now)
            return limit.map { min($0, rest) } ?? rest
        }
        var isGiven = true
        if let rest {
            isGiven = try await wakeUp.wait(atMost: rest, time: runtime.time)
        } else {
            try await wakeUp.wait()
        }
        if isGiven { monitor.withLock { $0.isHinted = true } }
        passOnHint()
        return isGiven
    }

    /// Each look is a question to the database.
    private var leastBetweenHints: Duration { settings.pollInterval / 10 }

    /// Has those that look do it now: a hint does not say which saga it is for.
    ///
    /// One that comes too soon behind another is put off.
    private func passOnHint() {
        let (now, least) = (runtime.time.monotonic(), leastBetweenHints)
        let watches = monitor.withLock { state -> [SagaWatch] in
            let isTooSoon = state.lastHint.map { now - $0 < least } ?? false
            guard state.isHinted, !isTooSoon else { return [] }
            (state.isHinted, state.lastHint) = (false, now)
            // In an order that is the same in each run of a simulation.
            return state.watches.sorted { $0.key < $1.key }.map(\.value)
        }
        for watch in watches { watch.hint() }
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
        let watch = SagaWatch()
        monitor.withLock { $0.watches[row.id] = watch }
        do {
            if let held = try await workshop.takeUp(row, clock: clock) {
                let work = SagaWork(
                    workshop, clock: clock, watch: watch, isStopping: { [self] in isStopping },
                    report: { [self] in report($0, during: "save", of: row.id) })
                try await work.run(held)
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
            if state.watches[row.id] === watch { state.watches[row.id] = nil }
            return state.roomWaiters.wakeAll()
        }.resume()
    }

    private func report(_ error: any Error, during operation: String, of id: SagaID? = nil) {
        guard let instrument = runtime.instrument else { return }
        let text = FailureDetail(error, of: nil, runtime: runtime).message
        instrument.record(SagaEngineFailed(operation: operation, id: id, error: text))
    }
}
