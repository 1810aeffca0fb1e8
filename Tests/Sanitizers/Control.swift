// SPDX-License-Identifier: Apache-2.0

// Shows that the sanitizer sees a race that is there, and none where a lock is. Run with the word `race` or `lock`.

import Synchronization

struct Unlocked: @unchecked Sendable {
    // Not safe at all: this is the race that must be found.
    let counter = UnsafeMutablePointer<Int>.allocate(capacity: 1)
}

let unlocked = Unlocked()
unlocked.counter.initialize(to: 0)
let locked = Mutex(0)
let isRace = CommandLine.arguments.contains("race")

await withTaskGroup(of: Void.self) { group in
    for _ in 0..<8 {
        group.addTask {
            for _ in 0..<20_000 {
                if isRace { unlocked.counter.pointee += 1 } else { locked.withLock { $0 += 1 } }
            }
        }
    }
}
print(isRace ? unlocked.counter.pointee : locked.withLock { $0 })
