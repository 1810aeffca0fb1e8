// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailCore
import DovetailTesting
import Foundation
import Synchronization

struct InvoiceScanned: Event {
    static let type: MessageType = "shop.invoice.scanned"
    let orderID: String
    let page: String
    var partitionKey: PartitionKey? { orderID.isEmpty ? nil : PartitionKey(orderID) }

    /// With a page of so many letters.
    init(_ orderID: String = "", letters: Int) {
        self.orderID = orderID
        page = String(repeating: "x", count: letters)
    }
}

/// What happened, in the order in which it happened.
final class Log<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    var all: [Element] { elements.withLock { $0 } }
    var count: Int { elements.withLock { $0.count } }

    func add(_ element: Element) { elements.withLock { $0.append(element) } }
}

/// A store in memory whose blobs can be tampered with, and which can be out of reach.
final class FaultyStore: BlobStore {
    struct Faults: Sendable {
        /// Changes what is read.
        var tamper: (@Sendable (Bytes) -> Bytes)?
        /// How many of the next writes and reads fail.
        var failures = 0
        /// Whether all fail.
        var isDown = false
        var deletesFail = false
        /// How often a blob was opened.
        var reads = 0
    }

    let inner: InMemoryBlobStore
    let faults = Mutex(Faults())

    init(_ name: BlobStoreName = "memory") {
        inner = InMemoryBlobStore(name)
    }

    var name: BlobStoreName { inner.name }
    var count: Int { inner.count }
    var reads: Int { faults.withLock { $0.reads } }

    func set(_ change: @Sendable (inout Faults) -> Void) { faults.withLock { change(&$0) } }

    private func fail() throws {
        let fails = faults.withLock { faults in
            defer { faults.failures = max(0, faults.failures - 1) }
            return faults.isDown || faults.failures > 0
        }
        if fails { throw ClaimCheckError(.unavailable, "The store is out of reach, as the test asks.") }
    }

    func write<Chunks: AsyncSequence>(_ chunks: Chunks) async throws -> BlobKey where Chunks.Element == Bytes {
        try fail()
        return try await inner.write(chunks)
    }

    func read(_ key: BlobKey) async throws -> BlobChunks {
        try fail()
        faults.withLock { $0.reads += 1 }
        let chunks = try await inner.read(key)
        guard let tamper = faults.withLock({ $0.tamper }) else { return chunks }
        var bytes = Bytes()
        for try await chunk in chunks { bytes += chunk }
        return BlobChunks(tamper(bytes), chunksOf: 1000)
    }

    func delete(_ key: BlobKey) async throws -> Bool {
        // As one that is asked over a network does.
        try Task.checkCancellation()
        if faults.withLock({ $0.deletesFail }) {
            throw ClaimCheckError(.unavailable, "Nothing can be deleted, as the test asks.")
        }
        return try await inner.delete(key)
    }

    func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        try await inner.sweep(olderThan: age, limit: limit)
    }
}

/// A carrier that answers as it is told, and passes on what it says it published.
final class ScriptedCarrier: Transport {
    let bus: InMemoryTransport
    let published = Log<Envelope<Bytes>>()
    private let answer: @Sendable (Envelope<Bytes>) throws -> TransportError?

    init(
        _ bus: InMemoryTransport = InMemoryTransport(),
        answer: @escaping @Sendable (Envelope<Bytes>) throws -> TransportError?
    ) {
        self.bus = bus
        self.answer = answer
    }

    var capabilities: TransportCapabilities { bus.capabilities }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        try envelopes.map { envelope in
            published.add(envelope)
            return try answer(envelope).map { .failed($0) } ?? .published
        }
    }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
        try await bus.subscribe(to: topics, as: group)
    }
}

/// A folder that is removed with the last reference to it.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "dovetail-claims-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: path)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// All files below, by their paths.
    var files: [String] {
        let below = FileManager.default.enumerator(atPath: path)?.allObjects as? [String] ?? []
        return below.filter { name in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: "\(path)/\(name)", isDirectory: &isFolder)
                && !isFolder.boolValue
        }.sorted()
    }
}

func sample(_ count: Int, seed: UInt64 = 1) -> Bytes {
    let random = SeededRandom(seed: seed)
    var bytes = Bytes()
    while bytes.count < count { withUnsafeBytes(of: random.next()) { bytes += $0 } }
    return Bytes(bytes.prefix(count))
}

func envelope(_ id: String, bytes: Int, key: PartitionKey? = nil) -> Envelope<Bytes> {
    var attributes = EnvelopeAttributes(id: MessageID(id), source: "/test", type: "test.message", topic: "test")
    attributes.partitionKey = key
    attributes.contentType = "text/csv"
    return Envelope(attributes, payload: sample(bytes))
}
