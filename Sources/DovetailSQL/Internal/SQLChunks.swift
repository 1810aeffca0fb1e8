// SPDX-License-Identifier: Apache-2.0

/// A range in pieces of few different lengths, so that few different statements have to be prepared.
struct SQLChunks: Sequence, IteratorProtocol {
    private var rest: Range<Int>

    init(_ range: Range<Int>) {
        rest = range
    }

    mutating func next() -> Range<Int>? {
        guard !rest.isEmpty else { return nil }
        let length = rest.count >= 64 ? 64 : rest.count >= 8 ? 8 : 1
        defer { rest = (rest.lowerBound + length)..<rest.upperBound }
        return rest.lowerBound..<(rest.lowerBound + length)
    }
}

extension SQL {
    /// Statements that together do something to a number of rows.
    ///
    /// The last list is filled up with the number it ends with, so that few different statements have to be prepared.
    ///
    /// - Parameters:
    ///   - ids: The rows.
    ///   - make: A statement for a list of rows.
    static func forEach(_ ids: [Int64], _ make: (SQL) -> SQL) -> [SQL] {
        var statements: [SQL] = []
        var rest = ids[...]
        while let last = rest.prefix(512).last {
            let count = rest.count
            let length = count > 64 ? 512 : count > 8 ? 64 : count > 1 ? 8 : 1
            let list = Array(rest.prefix(length))
            statements.append(make(.list(list + Array(repeating: list.last ?? last, count: length - list.count))))
            rest = rest.dropFirst(length)
        }
        return statements
    }
}
