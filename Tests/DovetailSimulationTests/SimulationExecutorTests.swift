// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Foundation
import Synchronization
import Testing

@testable import DovetailSimulation

@Suite(.timeLimit(.minutes(10))) struct SimulationExecutorTests {
    private final class Log: Sendable {
        private let lines = Mutex<[String]>([])

        var all: [String] { lines.withLock { $0 } }

        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    @Test("What another thread brings is told before it can be run, however long that takes")
    func toldFirst() async throws {
        let (executor, log) = (SimulationExecutor(order: .firstComeFirstServed), Log())
        executor.atOtherThreads {
            // As a thread that loses its processor here.
            Thread.sleep(forTimeInterval: 0.05)
            log.add("told")
        }
        executor.drain()
        Thread.detachNewThread {
            _ = Task(executorPreference: executor) { log.add("run") }
        }
        while !log.all.contains("run") {
            executor.drain()
            try await SystemTime().sleep(for: .milliseconds(1))
        }
        #expect(log.all == ["told", "run"])
    }
}
