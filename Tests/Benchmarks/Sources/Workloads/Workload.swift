// SPDX-License-Identifier: Apache-2.0

/// Something to be done a number of times, made ready outside the measured time.
public struct Workload: Sendable {
    /// What is measured: everything from its call to its return.
    public typealias Body = @Sendable () async throws -> Void

    /// Says in a few words what is done.
    public let name: String

    private let prepare: @Sendable (_ count: Int) async throws -> Body

    /// Creates a workload.
    ///
    /// - Parameters:
    ///   - name: Says in a few words what is done.
    ///   - prepare: Makes everything ready for that many operations and returns what does them.
    public init(_ name: String, prepare: @escaping @Sendable (_ count: Int) async throws -> Body) {
        self.name = name
        self.prepare = prepare
    }

    /// Creates a workload that needs nothing but a loop.
    ///
    /// - Parameters:
    ///   - name: Says in a few words what is done.
    ///   - loop: Does that many operations.
    /// - Returns: The workload.
    public static func loop(_ name: String, _ loop: @escaping @Sendable (_ count: Int) throws -> Void) -> Workload {
        Workload(name) { count in { try loop(count) } }
    }

    /// Makes everything ready.
    ///
    /// - Parameter count: The number of operations.
    /// - Returns: What does them; it may be called once.
    /// - Throws: What the preparation throws.
    public func prepared(for count: Int) async throws -> Body {
        try await prepare(count)
    }

    /// Runs the workload once.
    ///
    /// - Parameter count: The number of operations.
    /// - Returns: The time they took together.
    /// - Throws: What the operations throw.
    @concurrent
    public func time(_ count: Int) async throws -> Timing {
        try await Timing.of(try await prepared(for: count))
    }
}

/// A workload did not do what it is measured for.
public struct WorkloadError: Error, CustomStringConvertible {
    /// What was found.
    public let description: String

    /// Creates an error.
    ///
    /// - Parameter description: What was found.
    public init(_ description: String) {
        self.description = description
    }

    /// Checks a result, so that nothing easier is measured than what is said.
    static func check<Value: Equatable>(_ found: Value, is expected: Value, _ what: String) throws {
        guard found == expected else { throw WorkloadError("\(what): \(found) instead of \(expected).") }
    }
}
