// SPDX-License-Identifier: Apache-2.0

import Dovetail

@testable import OrderCheckout

extension ServiceParts<InMemoryDatabase, InMemoryTransport> {
    /// The parts of a service in a world of the tests.
    static func inMemory(
        _ name: String, _ database: InMemoryDatabase, _ bus: InMemoryTransport, _ without: Set<Options.Protection>
    ) -> Self {
        ServiceParts(
            name: name, database: database, bus: bus, relays: TableRelays<InMemoryDatabase>(), workers: 4,
            without: without,
            lease: .seconds(2), pollInterval: .seconds(1), waitsForReaders: false, crashPoints: nil, onLoss: { _ in })
    }
}

extension OrderLine {
    /// An order like any other.
    static func sample(_ id: String) throws -> OrderLine {
        try OrderLine(
            json:
                #"{"orderID":"\#(id)","customerID":"c","sku":"tea","quantity":1,"cents":300,"placedAt":"2026-01-01"}"#
        )
    }
}

extension IntakePosition {
    /// Where a line of the file stands that the tests do not have.
    static func sample(_ line: Int) -> IntakePosition {
        IntakePosition(file: "test", seed: 1, line: line, accepted: line)
    }
}
