// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The wait of one caller.
///
/// The caller has its ticket already, so whatever ends the wait finds it, also before the task suspends.
struct Waiting: Sendable {
    /// Gives the owner of the line what wakes the caller; says how the wait has ended if it has.
    let park: @Sendable (@escaping Waker) -> WaitOutcome?
    /// Has the owner of the line end the wait, unless it has ended.
    let settle: @Sendable (WaitOutcome) -> Void

    /// Suspends until the wait is settled, at the latest by the clock or the task's cancellation.
    func outcome(until deadline: MonotonicInstant?, by time: any TimeSource) async -> WaitOutcome {
        guard let deadline else { return await suspended() }
        return await withTaskGroup(of: Void.self) { group in
            group.addTask { [settle] in
                do { try await time.sleep(until: deadline) } catch { return }
                settle(.timedOut)
            }
            let outcome = await suspended()
            group.cancelAll()
            return outcome
        }
    }

    private func suspended() async -> WaitOutcome {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<WaitOutcome, Never>) in
                if let ended = park({ outcome in continuation.resume(returning: outcome) }) {
                    continuation.resume(returning: ended)
                }
            }
        } onCancel: {
            settle(.cancelled)
        }
    }
}
