// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Keeps at something while a database cannot be reached, as when its server is started again.
struct Persistence: Sendable {
    /// After how long it is given up.
    static let patience: Duration = .seconds(60)

    /// Runs a body until it does not fail for a reason that passes.
    ///
    /// - Parameter body: Told whether an earlier try may have been carried out although it failed.
    /// - Returns: What the body returned.
    /// - Throws: What the body throws.
    static func run<Result>(_ body: (_ isUnclear: Bool) async throws -> Result) async throws -> Result {
        let time = Runtime.current.time
        var started: MonotonicInstant?
        while true {
            do {
                return try await body(started != nil)
            } catch let error as DatabaseError where error.code.isTransient {
                let since = started ?? time.monotonic()
                started = since
                guard time.monotonic() - since < patience else { throw error }
                try await time.sleep(for: .milliseconds(100))
            }
        }
    }
}
