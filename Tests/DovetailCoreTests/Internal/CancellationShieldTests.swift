// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Testing

@Suite(.timeLimit(.minutes(10)))
struct CancellationShieldTests {
    @Test func theBodyDoesNotSeeTheCancellationOfTheCaller() async throws {
        try await Simulation(seed: 1).run {
            let time = Runtime.current.time
            let isCancelled = try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    try await withCancellationShield {
                        try await time.sleep(for: .seconds(5))
                        return Task.isCancelled
                    } onCancel: {
                    }
                }
                group.cancelAll()
                return try await group.next()
            }
            #expect(isCancelled == false)
            #expect(time.monotonic().nanoseconds == 5_000_000_000)
        }
    }

    @Test func theCallerIsToldOfItsCancellation() async throws {
        try await Simulation(seed: 1).run {
            let isTold = WakeUp()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await withCancellationShield {
                        try await isTold.wait()
                    } onCancel: {
                        isTold.notify()
                    }
                }
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    @Test func anAbortReachesBehindTheShield() async throws {
        try await Simulation(seed: 1).run {
            let abort = AbortSwitch()
            let time = Runtime.current.time
            await #expect(throws: CancellationError.self) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await AbortSwitch.$current.withValue(abort) {
                            try await withCancellationShield {
                                try await time.sleep(for: .seconds(50))
                            } onCancel: {
                            }
                        }
                    }
                    try await time.sleep(for: .seconds(1))
                    abort.abort()
                    try await group.waitForAll()
                }
            }
            await #expect(throws: CancellationError.self) {
                try await AbortSwitch.$current.withValue(abort) {
                    try await withCancellationShield {
                        try await time.sleep(for: .seconds(50))
                    } onCancel: {
                    }
                }
            }
            #expect(time.monotonic().nanoseconds == 1_000_000_000)
        }
    }
}
