// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// One call of `publish`, from the first message sent to the last result.
package struct PublishCall<Record: Sendable>: Sendable {
    package let progress: PublishProgress
    /// What to send of each envelope; `nil` of those that failed before anything was sent.
    package let records: [Record?]

    package init(_ envelopes: [Envelope<Bytes>], records: [Record?], plan: PublishPlan) {
        progress = PublishProgress(envelopes, plan: plan)
        self.records = records
    }
}

/// What became of the envelopes of one call of `publish`.
///
/// Not generic: what is asked for each message would have its types looked up each time.
package final class PublishProgress: Sendable {
    private struct State: Sendable {
        var plan: PublishPlan
        var continuation: CheckedContinuation<[PublishResult], any Error>?
    }

    package let envelopes: [Envelope<Bytes>]
    private let state: Mutex<State>
    /// Set under the lock, and asked for each message without it.
    private let hasEnded = Atomic(false)

    init(_ envelopes: [Envelope<Bytes>], plan: PublishPlan) {
        self.envelopes = envelopes
        state = Mutex(State(plan: plan))
    }

    /// Whether there is still someone to send for.
    package var isOver: Bool { hasEnded.load(ordering: .relaxed) }

    /// Notes what became of an envelope.
    ///
    /// - Returns: The envelope to send now.
    package func finish(_ index: Int, _ result: PublishResult) -> Int? {
        let (next, continuation, results) = state.withLock { state in
            let next = state.plan.finish(index, result, of: envelopes)
            guard !isOver, let results = state.plan.results, let continuation = state.continuation else {
                return (isOver ? nil : next, nil, nil)
                    as (Int?, CheckedContinuation<[PublishResult], any Error>?, [PublishResult]?)
            }
            hasEnded.store(true, ordering: .relaxed)
            state.continuation = nil
            return (next, continuation, results)
        }
        if let continuation, let results { continuation.resume(returning: results) }
        return next
    }

    /// Waits for all results.
    ///
    /// - Throws: `CancellationError` if the task is cancelled first; nothing more is sent then.
    package func results() async throws -> [PublishResult] {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome: Result<[PublishResult], any Error>? = state.withLock { state in
                    if let results = state.plan.results {
                        hasEnded.store(true, ordering: .relaxed)
                        return .success(results)
                    }
                    if isOver { return .failure(CancellationError()) }
                    state.continuation = continuation
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let continuation = state.withLock { state in
                hasEnded.store(true, ordering: .relaxed)
                return state.continuation.take()
            }
            continuation?.resume(throwing: CancellationError())
        }
    }
}

/// A message that is under way, by which its delivery report finds home.
package final class PublishTicket<Record: Sendable>: Sendable {
    package let call: PublishCall<Record>
    package let index: Int

    package init(_ call: PublishCall<Record>, _ index: Int) {
        self.call = call
        self.index = index
    }
}
