// SPDX-License-Identifier: Apache-2.0

/// Keys in the order in which they expire.
///
/// Keys that are kept for the same span expire in the order in which they came, so there is one line for each span and nothing is
/// ever sorted. Programs have few spans.
struct ExpiryLines<Key: Sendable>: Sendable {
    struct Entry: Sendable {
        let key: Key
        let expiry: Int64
    }

    /// A line in pieces of a fixed length, so that no piece is ever half empty for long or copied to grow.
    private struct Line: Sendable {
        private var pieces: [ContiguousArray<Entry>] = []
        private var firstPiece = 0
        private var firstEntry = 0

        private static var pieceLength: Int { 512 }

        var first: Entry? {
            firstPiece < pieces.count ? pieces[firstPiece][firstEntry] : nil
        }

        mutating func append(_ entry: Entry) {
            if firstPiece == pieces.count || pieces[pieces.count - 1].count == Self.pieceLength {
                var piece: ContiguousArray<Entry> = []
                // A line with few keys stays small.
                if !pieces.isEmpty { piece.reserveCapacity(Self.pieceLength) }
                pieces.append(piece)
            }
            pieces[pieces.count - 1].append(entry)
        }

        mutating func removeFirst() {
            firstEntry += 1
            guard firstEntry == pieces[firstPiece].count else { return }
            pieces[firstPiece] = []
            firstPiece += 1
            firstEntry = 0
            if firstPiece > 32, firstPiece > pieces.count / 2 {
                pieces.removeFirst(firstPiece)
                firstPiece = 0
            }
        }
    }

    private var lines: [Int64: Line] = [:]

    mutating func append(_ key: Key, expiry: Int64, span: Int64) {
        lines[span, default: Line()].append(Entry(key: key, expiry: expiry))
    }

    /// Takes out entries that have expired until `limit` of them were worth it.
    ///
    /// - Parameters:
    ///   - now: What has expired.
    ///   - limit: The most that are worth it.
    ///   - forget: Returns whether the entry was worth it: it is not if its key came again since.
    /// - Returns: How many were worth it; `limit` as well if many were not, so that one call stays short.
    mutating func sweep(at now: Int64, limit: Int, forget: (Entry) -> Bool) -> Int {
        var forgotten = 0
        var seen = 0
        for span in lines.keys.sorted() {
            while forgotten < limit, let first = lines[span]?.first, first.expiry <= now {
                guard seen / 4 < limit else { return limit }
                seen += 1
                lines[span]?.removeFirst()
                if forget(first) { forgotten += 1 }
            }
            if lines[span]?.first == nil { lines[span] = nil }
        }
        return forgotten
    }
}
