// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Names one run of a saga for good: starting the same name again starts nothing.
///
/// Choose what the run is about, such as the number of the order, so that two requests for the same thing make one saga.
///
/// ```swift
/// try await sagas.start(PlaceOrder.self, id: "order-7", state: .init(order: order))
/// ```
public struct SagaID: TextValue {
    /// The text.
    public let rawValue: String

    /// Creates an identifier with exactly this text.
    ///
    /// - Parameter rawValue: The text.
    @inlinable
    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

/// How a saga stands.
///
/// Open: a reader must expect values it does not know.
public struct SagaStatus: TextValue {
    /// The name of the status.
    public let rawValue: String

    /// Creates a status with this name.
    ///
    /// - Parameter rawValue: The name.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// It goes forward, or waits for something that lets it.
    public static let running: SagaStatus = "running"

    /// It takes back what was done.
    public static let compensating: SagaStatus = "compensating"

    /// It gave up and waits for a person; see ``SagaEngine/retry(_:by:why:)`` and its neighbours.
    public static let parked: SagaStatus = "parked"

    /// All steps are done.
    public static let completed: SagaStatus = "completed"

    /// A step failed, and what was done before is undone.
    public static let compensated: SagaStatus = "compensated"

    /// It was cancelled, and what was done before is undone.
    public static let cancelled: SagaStatus = "cancelled"

    /// Whether it has come to its end.
    public var isFinal: Bool { self == .completed || self == .compensated || self == .cancelled }

    /// All that have not come to their end.
    static let open: [SagaStatus] = [.running, .compensating, .parked]
}
