// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A saga as people look at it.
public struct SagaInstance: Sendable {
    /// A step and how far it has come.
    public struct StepState: Sendable, Hashable {
        /// The name of the step.
        public let name: String

        /// How far it has come, in a word such as `started`, `done`, `undoing` or `undone`.
        public let phase: String

        /// Which attempt of it, or of its compensation, it is at.
        public let attempt: Int

        /// When it is to go on by itself.
        public let due: Timestamp?
    }

    /// Names the saga.
    public var id: SagaID { row.id }

    /// The kind of saga.
    public var name: String { row.name }

    /// The version of its definition.
    public var version: Int { row.version }

    /// How it stands.
    public var status: SagaStatus { row.status }

    /// The step it is at; `nil` if it has ended.
    public var step: String? { row.step }

    /// What people know it by.
    public var businessKey: String? { row.businessKey }

    /// Why it is parked, or was undone.
    public var reason: String? { row.reason }

    /// When it was started.
    public var started: Timestamp { row.started }

    /// When it last changed.
    public var changed: Timestamp { row.changed }

    /// The steps that were started, in that order.
    public let steps: [StepState]

    /// Whether it only goes forward.
    public let isPastPivot: Bool

    private let row: SagaRow

    init(_ row: SagaRow) {
        self.row = row
        // What cannot be read is parked, and shown without its steps.
        let progress = try? SagaProgress.decode(row.progress)
        isPastPivot = progress?.isPastPivot ?? false
        steps =
            progress?.steps.map {
                StepState(name: $0.name, phase: $0.phase.rawValue, attempt: $0.attempt, due: $0.due)
            } ?? []
    }

    /// The state.
    ///
    /// - Parameter saga: The kind of saga.
    /// - Returns: The state.
    /// - Throws: ``SagaError`` with ``SagaError/Code/undecodableState``.
    public func state<S: Saga>(of saga: S.Type) throws -> S.State {
        try SagaJSON.decode(S.State.self, from: row.state, what: "a state of the saga '\(S.name)'")
    }
}
