// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
public import DovetailCore
import Synchronization

extension Replica {
    /// Builds the replica anew from all that a transport still has, and then puts the new copy in place of the old one.
    ///
    /// For when what the replica keeps of an entity has changed, or what it has is in doubt. Until the end the old copy is read
    /// and kept up to date, and the consumers that keep the replica may go on: what they apply meanwhile goes to both. If a
    /// process ends in the middle, the old copy stays, and the next rebuild starts from the beginning.
    ///
    /// A transport that has forgotten early events makes a copy that lacks what only they told of, so have a snapshot published
    /// first where history is not kept for good.
    ///
    /// - Parameter transport: Where to read; it must replay.
    /// - Throws: ``ReplicaError`` with ``ReplicaError/Code/noFeeds``, ``ReplicaError/Code/cannotReplay``,
    ///   ``ReplicaError/Code/rebuildFailed`` or ``ReplicaError/Code/superseded``; `TransportError`; `DatabaseError`;
    ///   `CancellationError`. The old copy is then still in place.
    public func rebuild(from transport: some BacklogReportingTransport) async throws {
        guard !feeds.isEmpty else {
            throw ReplicaError(.noFeeds, "The replica '\(name)' takes no messages. Add some with `on`.")
        }
        guard transport.capabilities.replays else {
            throw ReplicaError(
                .cannotReplay,
                "The replica '\(name)' cannot be built anew from a transport that does not keep what was read. Use one that "
                    + "replays, or have its owner publish a snapshot.")
        }
        let runtime = Runtime.current
        let started = runtime.time.monotonic()
        let generation = try await begin()
        do {
            try await replay(from: transport, into: generation)
            let old = try await finish(generation)
            // Nobody reads it any longer.
            try await drop(old)
        } catch {
            try? await withCancellationShield {
                try await abandon(generation)
            } onCancel: {
            }
            throw error
        }
        runtime.instrument?.record(ReplicaRebuilt(replica: name, elapsed: runtime.time.monotonic() - started))
    }

    /// - Returns: The number of the copy to build.
    private func begin() async throws -> Int {
        let (generation, abandoned) = try await database.withTransaction { tx -> (Int, Int?) in
            let stored = try await stateTable.entry(Self.stateKey, in: tx)
            var state = stored?.row ?? ReplicaGenerations()
            let abandoned = state.building
            let generation = max(state.current, state.building ?? 0) + 1
            state.building = generation
            try await stateTable.put(state, at: Self.stateKey, expecting: stored?.version ?? 0, in: tx)
            return (generation, abandoned)
        }
        if let abandoned { try await drop(abandoned) }
        return generation
    }

    /// - Returns: The number of the copy that was replaced.
    private func finish(_ generation: Int) async throws -> Int {
        try await database.withTransaction { tx in
            let stored = try await stateTable.entry(Self.stateKey, in: tx)
            guard let state = stored?.row, state.building == generation else {
                throw ReplicaError(
                    .superseded, "Another rebuild of the replica '\(name)' was begun meanwhile; this one was dropped.")
            }
            try await stateTable.put(
                ReplicaGenerations(current: generation), at: Self.stateKey, expecting: stored?.version ?? 0, in: tx)
            return state.current
        }
    }

    private func abandon(_ generation: Int) async throws {
        let isCurrent = try await database.withTransaction { tx in
            let stored = try await stateTable.entry(Self.stateKey, in: tx)
            guard var state = stored?.row else { return false }
            if state.building == generation {
                state.building = nil
                try await stateTable.put(state, at: Self.stateKey, expecting: stored?.version ?? 0, in: tx)
            }
            return state.current == generation
        }
        if !isCurrent { try await drop(generation) }
    }

    private func drop(_ generation: Int) async throws {
        try await deleteAll(rows(generation))
        try await deleteAll(tombstones(generation))
        try await deleteAll(snapshotTable, prefix: "\(generation)/")
    }

    private func deleteAll<Row>(_ table: Table<DB, Row>, prefix: String = "") async throws {
        var isDone = false
        while !isDone {
            isDone = try await database.withTransaction { tx in
                let page = try await database.tableStore.scan(
                    table.name, prefix: prefix, after: nil, limit: 500, in: tx)
                for (key, _) in page { try await table.delete(key, in: tx) }
                return page.count < 500
            }
        }
    }

    // MARK: Replaying

    /// Reads all that is there with a group of its own, until nothing is left to read.
    private func replay(from transport: some BacklogReportingTransport, into generation: Int) async throws {
        let runtime = Runtime.current
        let routes = feeds.map { $0(self, .generation(generation)) }
        let group = "\(name).rebuild.\(runtime.makeUUID())"
        let letters = RebuildLetters()
        let consumer = Consumer(group, on: transport) { routes }.deadLettering(to: letters)
        let topics = Array(Set(routes.map(\.topic)))
        try await withThrowingTaskGroup(of: Bool.self) { tasks in
            tasks.addTask {
                try await consumer.run()
                return false
            }
            tasks.addTask {
                while try await transport.backlog(of: ConsumerGroup(group), on: topics) > 0 {
                    try letters.check()
                    try await runtime.time.sleep(for: .milliseconds(50))
                }
                try letters.check()
                return true
            }
            defer { tasks.cancelAll() }
            while let isDone = try await tasks.next() {
                if isDone { return }
                try Task.checkCancellation()
            }
        }
        // The consumer ends by itself only when it cannot go on.
        try Task.checkCancellation()
    }
}

/// Keeps the first message that could not be applied.
private final class RebuildLetters: DeadLetterSink {
    private let first = Mutex<DeadLetter?>(nil)

    func capture(_ letters: [DeadLetter]) async throws {
        first.withLock { $0 = $0 ?? letters.first }
    }

    func check() throws {
        guard let letter = first.withLock({ $0 }) else { return }
        throw ReplicaError(
            .rebuildFailed,
            "A message in the topic '\(letter.topic)' at \(letter.position) could not be applied (\(letter.reason)): "
                + letter.failure.message)
    }
}
