// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import SagaScenarios
import Synchronization
import Testing

typealias Engine = SagaEngine<InMemoryDatabase>

/// Keeps every event.
final class EventLog: Instrument {
    private let events = Mutex<[any InstrumentEvent]>([])

    func record<E: InstrumentEvent>(_ event: E) { events.withLock { $0.append(event) } }

    func of<E: InstrumentEvent>(_ type: E.Type) -> [E] { events.withLock { $0.compactMap { $0 as? E } } }
}

struct Reserve: Command {
    static let type: MessageType = "test.reserve"
    typealias Reply = Reserved
    let sku: String
}

struct Reserved: Event {
    static let type: MessageType = "test.reserved"
    let reservation: String?
}

extension SagaEngine {
    /// How a saga stands.
    func status(_ id: SagaID) async throws -> SagaStatus? { try await instance(id)?.status }

    /// The kinds of its records, in their order.
    func kinds(_ id: SagaID) async throws -> [SagaRecord.Kind] { try await history(of: id).records.map(\.kind) }

    /// The phases of its steps.
    func phases(_ id: SagaID) async throws -> [String: String] {
        let steps = try await instance(id)?.steps ?? []
        return Dictionary(steps.map { ($0.name, $0.phase) }) { $1 }
    }
}
