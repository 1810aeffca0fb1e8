// SPDX-License-Identifier: Apache-2.0

/// Sweeps a store now and then, in batches, until its task is cancelled.
package struct SweepLoop: Sendable {
    /// Names the store in events.
    package let store: String
    /// The time between two rounds.
    package let period: Duration
    /// How many rows are forgotten in one go.
    package let batchSize: Int
    package let runtime: Runtime

    /// So that a round ends even if rows expire as fast as they are swept.
    private static let mostBatches = 1000

    package init(store: String, period: Duration, batchSize: Int, runtime: Runtime) {
        self.store = store
        self.period = max(.milliseconds(1), period)
        self.batchSize = max(1, batchSize)
        self.runtime = runtime
    }

    /// Runs until the task is cancelled.
    ///
    /// - Parameter sweep: Forgets up to so many rows, and returns how many; as many if there may be more.
    package func run(_ sweep: @Sendable (_ limit: Int) async throws -> Int) async {
        // Copies of a service that start together do not sweep together.
        var pause = period * runtime.random.unit()
        while (try? await runtime.time.sleep(for: pause)) != nil {
            pause = period
            do {
                var count = 0
                for _ in 0..<Self.mostBatches {
                    try Task.checkCancellation()
                    let swept = try await sweep(batchSize)
                    count += swept
                    if swept < batchSize { break }
                }
                if count > 0 { runtime.instrument?.record(StoreSwept(store, count: count)) }
            } catch {
                guard !Task.isCancelled else { return }
                runtime.instrument?.record(
                    StoreSweepFailed(store, error: FailureDetail(error, of: nil, runtime: runtime).message))
            }
        }
    }
}
