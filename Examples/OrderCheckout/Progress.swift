// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Foundation
import Synchronization

/// One line on a terminal that says how far a long run is.
final class Progress: Sendable {
    private struct State {
        var started: MonotonicInstant?
        var lastShown: MonotonicInstant?
        var isOnScreen = false
    }

    private let isShown: Bool
    private let state = Mutex(State())

    init(isShown: Bool) {
        self.isShown = isShown
    }

    /// Shows the figures, at most ten times a second and only once the run has taken a second.
    func show(accepted: Int, ended: Int) {
        guard isShown else { return }
        // The clock of the person who waits, also when the run itself is on virtual time.
        let now = SystemTime().monotonic()
        let isDue = state.withLock { state in
            let started = state.started ?? now
            state.started = started
            guard now - started > .seconds(1), state.lastShown.map({ now - $0 > .milliseconds(100) }) ?? true else {
                return false
            }
            state.lastShown = now
            state.isOnScreen = true
            return true
        }
        guard isDue else { return }
        write("\r\(accepted.grouped) orders taken in, \(ended.grouped) ended \u{1B}[K")
    }

    /// Takes the line off the screen.
    func clear() {
        let wasOnScreen = state.withLock { state in
            defer { state.isOnScreen = false }
            return state.isOnScreen
        }
        if wasOnScreen { write("\r\u{1B}[K") }
    }

    private func write(_ text: String) {
        FileHandle.standardError.write(Data(text.utf8))
    }
}
