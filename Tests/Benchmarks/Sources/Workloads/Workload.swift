// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Something to be done a number of times, made ready outside the measured time.
public struct Workload: Sendable {
    /// What is measured: everything from its call to its return.
    public typealias Body = @Sendable () async throws -> Void

    /// What does all operations, once.
    public struct Run: Sendable {
        private let body: Body
        private let after: Body

        /// Creates a run.
        ///
        /// - Parameters:
        ///   - body: Does all operations.
        ///   - after: Checks what came of them and takes away what they have left.
        public init(_ body: @escaping Body, after: @escaping Body = {}) {
            self.body = body
            self.after = after
        }

        /// Does all operations.
        public func callAsFunction() async throws {
            try await body()
        }

        /// Checks what came of them and takes away what they have left; not measured.
        public func finish() async throws {
            try await after()
        }
    }

    /// Says in a few words what is done.
    public let name: String

    private let prepare: @Sendable (_ count: Int) async throws -> Run

    /// Creates a workload.
    ///
    /// - Parameters:
    ///   - name: Says in a few words what is done.
    ///   - prepare: Makes everything ready for that many operations and returns what does them.
    public init(_ name: String, prepare: @escaping @Sendable (_ count: Int) async throws -> Body) {
        self.init(name: name) { count in Run(try await prepare(count)) }
    }

    private init(name: String, prepare: @escaping @Sendable (_ count: Int) async throws -> Run) {
        self.name = name
        self.prepare = prepare
    }

    /// Creates a workload that leaves something behind.
    ///
    /// - Parameters:
    ///   - name: Says in a few words what is done.
    ///   - prepare: Makes everything ready for that many operations and returns what does them and cleans up.
    /// - Returns: The workload.
    public static func cleaningUp(
        _ name: String, prepare: @escaping @Sendable (_ count: Int) async throws -> Run
    ) -> Workload {
        Workload(name: name, prepare: prepare)
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
    /// - Returns: What does them; it may be called once, and is to be finished then.
    /// - Throws: What the preparation throws.
    public func prepared(for count: Int) async throws -> Run {
        try await prepare(count)
    }

    /// Runs the workload once.
    ///
    /// - Parameter count: The number of operations.
    /// - Returns: The time they took together.
    /// - Throws: What the operations throw.
    @concurrent
    public func time(_ count: Int) async throws -> Timing {
        let run = try await prepared(for: count)
        let timing = try await Timing.of { try await run() }
        try await run.finish()
        return timing
    }

    /// Runs a service until a moment, and to its orderly end.
    static func running(_ service: some Service, until moment: () async throws -> Void) async throws {
        try await withThrowingTaskGroup { group in
            group.addTask { try await service.run() }
            try await moment()
            group.cancelAll()
            // What is in hand is settled before it returns, and that is part of the work.
            while case .failure(let error)? = await group.nextResult() {
                if !(error is CancellationError) { throw error }
            }
        }
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
