// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension TransportProbe {
    func backlogIsCounted() async throws {
        guard let transport = transport as? any BacklogReportingTransport else { return }
        let founder = try await subscribe()
        let messages = messages(10) { PartitionKey("key \($0 % 3)") }
        try await publish(messages)
        try await expectBacklog(10, on: transport, "Nothing was read yet")
        let other = try await transport.backlog(of: group("other"), on: [topic()])
        // Where nothing is read again, what is kept for a group that never read is what others have not settled, or nothing.
        let isCounted = transport.capabilities.replays ? other == 10 : (0...10).contains(other)
        try require(isCounted, "A group that never read has a backlog of \(other), and 10 messages are there.")
        let elsewhere = try await transport.backlog(of: group(), on: [topic("elsewhere")])
        try require(elsewhere == 0, "A topic without messages has a backlog of \(elsewhere).")

        var taken = try await next(from: founder)
        while taken.count < 10, let more = try await receive(from: founder, within: patience.silence), !more.isEmpty {
            taken += more
        }
        try await expectBacklog(10, on: transport, "All is in hand and nothing is settled")
        try await founder.settle(taken.map { .acknowledge($0.id) })
        // What is left, and what comes again because the group dealt out its topics anew, is settled too.
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while let more = try? await founder.next(atMost: 10), !more.isEmpty {
                    try await founder.settle(more.map { .acknowledge($0.id) })
                }
            }
            defer { group.cancelAll() }
            try await expectBacklog(0, on: transport, "Everything is settled")
        }
        await founder.close()
    }

    /// Waits until a backlog is as it should be: a transport may tell that of a moment ago.
    private func expectBacklog(
        _ expected: Int, on transport: any BacklogReportingTransport, _ when: String
    ) async throws {
        let deadline = time.monotonic() + patience.arrival
        var backlog = try await transport.backlog(of: group(), on: [topic()])
        while backlog != expected, time.monotonic() < deadline {
            try await time.sleep(for: .milliseconds(10))
            backlog = try await transport.backlog(of: group(), on: [topic()])
        }
        try require(backlog == expected, "\(when), and the backlog is \(backlog), not \(expected).")
    }
}
