// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox

/// The rows that a claim holds, each with its lane.
///
/// A claim is one row of a table that lists what it holds: the rows themselves are not touched until they are settled.
struct OutboxHolds: Sendable, Equatable {
    /// A row that is held.
    struct Hold: Sendable, Equatable {
        let id: Int64
        /// The number of its lane; ``OutboxLane/none`` if it has no key.
        let lane: Int64

        var hasLane: Bool { lane != OutboxLane.none }
    }

    private(set) var holds: [Hold]

    init(_ holds: [Hold]) {
        self.holds = holds
    }

    var isEmpty: Bool { holds.isEmpty }

    /// Takes out the rows that were asked for and are held.
    ///
    /// - Returns: These rows in the order of the claim, and how many of those asked for are not held.
    mutating func take(_ ids: [Int64]) -> (taken: [Hold], lost: Int) {
        if ids.count == holds.count, zip(ids, holds).allSatisfy({ $0 == $1.id }) {
            defer { holds = [] }
            return (holds, 0)
        }
        let wanted = Set(ids)
        let taken = holds.filter { wanted.contains($0.id) }
        holds.removeAll { wanted.contains($0.id) }
        return (taken, wanted.count - taken.count)
    }

    // MARK: As bytes

    /// Sixteen bytes a row, the lowest first.
    init(bytes: Bytes) throws {
        guard bytes.count.isMultiple(of: 16) else {
            throw DatabaseError(
                .undecodableRow,
                "A claim of the outbox cannot be read. Has something else written to the library's tables? Delete the claim."
            )
        }
        holds = bytes.withUnsafeBytes { raw in
            stride(from: 0, to: raw.count, by: 16).map { offset in
                Hold(
                    id: Int64(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: Int64.self)),
                    lane: Int64(littleEndian: raw.loadUnaligned(fromByteOffset: offset + 8, as: Int64.self))
                )
            }
        }
    }

    var bytes: Bytes {
        Bytes(unsafeUninitializedCapacity: holds.count * 16) { buffer, count in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            for (index, hold) in holds.enumerated() {
                raw.storeBytes(of: hold.id.littleEndian, toByteOffset: index * 16, as: Int64.self)
                raw.storeBytes(of: hold.lane.littleEndian, toByteOffset: index * 16 + 8, as: Int64.self)
            }
            count = holds.count * 16
        }
    }
}

/// The number of a lane: 64 bits of a digest of its topic and key.
///
/// Two lanes may have the same number by chance, once in billions of lanes. They are then one lane, which keeps the order of both.
enum OutboxLane {
    static let none: Int64 = 0

    static func number(of attributes: EnvelopeAttributes) -> Int64 {
        guard let key = attributes.partitionKey else { return none }
        var hash = SHA256()
        let topic = attributes.topic.rawValue
        // The length of the topic keeps lanes of different topics apart, whatever characters these contain.
        hash.update(Array("\(topic.utf8.count):\(topic)\(key.rawValue)".utf8))
        let number = Int64(bitPattern: hash.finalize().leadingHalves.high)
        return number == none ? 1 : number
    }
}
