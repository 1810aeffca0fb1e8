// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Foundation

@testable import OrderCheckout

/// Hands over a file that is gone afterwards.
func withFile<Result>(of bytes: some Sequence<UInt8>, _ body: (String) async throws -> Result) async throws -> Result {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("orders-\(UUID().uuidString).txt").path
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

extension Shop<InMemoryDatabase, InMemoryTransport> {
    /// A shop whose services keep their rows in one database of the tests.
    static func inMemory(_ database: InMemoryDatabase = InMemoryDatabase()) throws -> Self {
        Shop(
            options: try Options(CommandLineReader([String]())), bookkeeper: Bookkeeper(),
            premises: Premises(
                bus: InMemoryTransport(),
                sites: Options.ServiceName.allCases.map { Site(name: $0, database: database) }),
            onProgress: { _, _ in })
    }
}

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
