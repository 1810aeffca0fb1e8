// SPDX-License-Identifier: Apache-2.0

// Shows what the sanitizer sees. Run with one of the words:
//
// - `race`: a race that is there, which must be found;
// - `lock`: none, since there is a lock;
// - `continuation`: none, but without `suppressions.txt` one is reported. Where a continuation is resumed on another thread before its
//   task has come to wait for it, the task goes on at once, and what orders the two is in the runtime, which is not instrumented.

import Dispatch
import Synchronization

struct Unlocked: @unchecked Sendable {
    // Not safe at all: this is the race that must be found.
    let counter = UnsafeMutablePointer<Int>.allocate(capacity: 1)
}

let unlocked = Unlocked()
unlocked.counter.initialize(to: 0)
let locked = Mutex(0)
let word = CommandLine.arguments.last ?? ""
let queue = DispatchQueue(label: "control")

@Sendable func answer(_ number: Int) async throws -> Int {
    try await withUnsafeThrowingContinuation { continuation in
        queue.async { continuation.resume(returning: number) }
    }
}

try await withThrowingTaskGroup(of: Void.self) { group in
    for _ in 0..<8 {
        group.addTask {
            for number in 0..<20_000 {
                switch word {
                case "race": unlocked.counter.pointee += 1
                case "continuation": _ = try await answer(number)
                default: locked.withLock { $0 += 1 }
                }
            }
        }
    }
    try await group.waitForAll()
}
print(word == "race" ? unlocked.counter.pointee : locked.withLock { $0 })
