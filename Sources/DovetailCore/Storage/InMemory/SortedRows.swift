// SPDX-License-Identifier: Apache-2.0

/// Values by text, in the order of the bytes of the text.
///
/// A copy is a snapshot and costs next to nothing; a change after it copies one short piece and the list of pieces. Keys are
/// compared byte by byte, as databases do: for a `String`, two ways to write an accent are the same.
struct SortedRows<Value: Sendable>: Sendable {
    private struct Piece: Sendable {
        var keys: ContiguousArray<String> = []
        var values: ContiguousArray<Value> = []
    }

    /// Where a key is or would be.
    struct Position: Sendable {
        fileprivate var piece: Int
        fileprivate var index: Int
    }

    /// None is empty.
    private var pieces: ContiguousArray<Piece> = []
    private(set) var count = 0

    private static var longestPiece: Int { 128 }

    var isEmpty: Bool { count == 0 }

    subscript(key: String) -> Value? {
        get {
            let (position, isThere) = find(key)
            return isThere ? pieces[position.piece].values[position.index] : nil
        }
        set {
            let (position, isThere) = find(key)
            switch (newValue, isThere) {
            case (let value?, true): pieces[position.piece].values[position.index] = value
            case (let value?, false): insert(value, at: key, position)
            case (nil, true): remove(at: position)
            case (nil, false): break
            }
        }
    }

    // MARK: Walking

    /// The position of the first key that does not come before this one.
    func position(from key: String) -> Position {
        normalized(find(key).position)
    }

    /// The position of the first key that comes after this one.
    func position(behind key: String) -> Position {
        var (position, isThere) = find(key)
        if isThere { position.index += 1 }
        return normalized(position)
    }

    /// The element at a position, which moves on; `nil` behind the last.
    func next(_ position: inout Position) -> (key: String, value: Value)? {
        guard position.piece < pieces.count else { return nil }
        let piece = pieces[position.piece]
        let element = (piece.keys[position.index], piece.values[position.index])
        position.index += 1
        position = normalized(position)
        return element
    }

    private func normalized(_ position: Position) -> Position {
        guard position.piece < pieces.count, position.index == pieces[position.piece].keys.count else {
            return position
        }
        return Position(piece: position.piece + 1, index: 0)
    }

    // MARK: Changing

    private mutating func insert(_ value: Value, at key: String, _ position: Position) {
        count += 1
        guard !pieces.isEmpty else { return pieces.append(Piece(keys: [key], values: [value])) }
        pieces[position.piece].keys.insert(key, at: position.index)
        pieces[position.piece].values.insert(value, at: position.index)
        let length = pieces[position.piece].keys.count
        guard length > Self.longestPiece else { return }
        // Keys that only grow, such as those made from the time, fill the pieces they leave behind.
        let isLast = position.piece == pieces.count - 1 && position.index == length - 1
        let middle = isLast ? length - 1 : length / 2
        let piece = pieces[position.piece]
        let upper = Piece(
            keys: ContiguousArray(piece.keys[middle...]), values: ContiguousArray(piece.values[middle...])
        )
        pieces[position.piece].keys.removeLast(length - middle)
        pieces[position.piece].values.removeLast(length - middle)
        pieces.insert(upper, at: position.piece + 1)
    }

    private mutating func remove(at position: Position) {
        count -= 1
        pieces[position.piece].keys.remove(at: position.index)
        pieces[position.piece].values.remove(at: position.index)
        let length = pieces[position.piece].keys.count
        if length == 0 {
            pieces.remove(at: position.piece)
        } else if length < Self.longestPiece / 8, position.piece > 0 {
            let previous = pieces[position.piece - 1].keys.count
            guard previous + length <= Self.longestPiece / 2 else { return }
            let piece = pieces.remove(at: position.piece)
            pieces[position.piece - 1].keys += piece.keys
            pieces[position.piece - 1].values += piece.values
        }
    }

    private func find(_ key: String) -> (position: Position, isThere: Bool) {
        guard !pieces.isEmpty else { return (Position(piece: 0, index: 0), false) }
        // The last piece that does not begin behind the key.
        var low = 0
        var high = pieces.count
        while low < high {
            let middle = low + (high - low) / 2
            if key.comparesBytes(to: pieces[middle].keys[0]) < 0 { high = middle } else { low = middle + 1 }
        }
        let piece = max(0, low - 1)
        let keys = pieces[piece].keys
        low = 0
        high = keys.count
        while low < high {
            let middle = low + (high - low) / 2
            let order = key.comparesBytes(to: keys[middle])
            if order == 0 { return (Position(piece: piece, index: middle), true) }
            if order < 0 { high = middle } else { low = middle + 1 }
        }
        return (Position(piece: piece, index: low), false)
    }
}
