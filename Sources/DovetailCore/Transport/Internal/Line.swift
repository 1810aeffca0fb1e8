// SPDX-License-Identifier: Apache-2.0

/// A line that grows at its end and shrinks at its beginning.
package struct Line<Element: Sendable>: Sendable {
    package init() {}

    /// What was taken out leaves an empty place, so that nothing is moved but now and then.
    private var places: [Element?] = []
    private var head = 0

    package var count: Int { places.count - head }
    package var isEmpty: Bool { head == places.count }
    package var first: Element? { isEmpty ? nil : places[head] }

    /// The element at a distance from the first one; `nil` beyond the last.
    package subscript(index: Int) -> Element? {
        guard index >= 0, index < count else { return nil }
        return places[head + index]
    }

    package mutating func append(_ element: Element) {
        places.append(element)
    }

    /// Puts another element in the place of one; does nothing beyond the last.
    package mutating func replace(at index: Int, with element: Element) {
        guard index >= 0, index < count else { return }
        places[head + index] = element
    }

    package mutating func popFirst() -> Element? {
        guard !isEmpty else { return nil }
        let element = places[head].take()
        head += 1
        if head == places.count {
            places.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 64, head * 2 >= places.count {
            places.removeFirst(head)
            head = 0
        }
        return element
    }
}
