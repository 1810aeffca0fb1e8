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
    /// Conditions that are true for some numbers and no others.
    ///
    /// Numbers that follow each other, as those of a batch mostly do, make a range. Lists are filled up with the number they end
    /// with, so that few different statements have to be prepared.
    ///
    /// - Parameters:
    ///   - column: The column of the numbers.
    ///   - numbers: The numbers, each once.
    /// - Returns: The conditions, of which each number fulfils one.
    static func conditions(_ column: String, are numbers: [Int64]) -> [SQL] {
        guard let first = numbers.first, let last = numbers.last else { return [] }
        if numbers.count > 1, zip(numbers, numbers.dropFirst()).allSatisfy({ $0 < .max && $0 + 1 == $1 }) {
            return ["\(raw: column) BETWEEN \(first) AND \(last)"]
        }
        var conditions: [SQL] = []
        var rest = numbers[...]
        while !rest.isEmpty {
            let length = rest.count > 64 ? 512 : rest.count > 8 ? 64 : rest.count > 1 ? 8 : 1
            let part = rest.prefix(length)
            rest = rest.dropFirst(length)
            let filler = Array(repeating: part[part.endIndex - 1], count: length - part.count)
            conditions.append("\(raw: column) IN (\(SQL.list(part + filler)))")
        }
        return conditions
    }
}
