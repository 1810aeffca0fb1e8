// SPDX-License-Identifier: Apache-2.0

import CFloors

/// Things kept in memory, and the bytes each may take.
public struct MemoryRow: Sendable {
    /// Names the row.
    public let name: String

    /// How many things are kept.
    public let count: Int

    /// The most bytes for each; `nil` if nothing was agreed on.
    public let budget: Double?

    private let fill: @Sendable (_ count: Int) async throws -> any Sendable

    init(
        _ name: String, count: Int, budget: Double? = nil,
        _ fill: @escaping @Sendable (_ count: Int) async throws -> any Sendable
    ) {
        self.name = name
        self.count = count
        self.budget = budget
        self.fill = fill
    }

    /// Measures by the resident memory of the process.
    ///
    /// - Parameter count: How many things to keep.
    /// - Returns: The bytes for each; and what keeps them, to be held on to until all rows are measured, since memory that is
    ///   free but resident would make the next row look cheaper than it is.
    /// - Throws: What the filling throws.
    @concurrent
    public func measure(_ count: Int) async throws -> (bytes: Double, kept: any Sendable) {
        floor_trim_memory()
        let before = floor_resident_bytes()
        let kept = try await fill(count)
        floor_trim_memory()
        let after = floor_resident_bytes()
        guard before > 0, after > before else { throw WorkloadError("Resident memory cannot be read here.") }
        return (Double(after - before) / Double(count), kept)
    }
}
