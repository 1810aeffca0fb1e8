// SPDX-License-Identifier: Apache-2.0

/// Works on elements side by side, on so many at a time.
///
/// - Returns: What became of each, in their order.
func sideBySide<Element: Sendable, Result: Sendable>(
    _ elements: [Element], atMost limit: Int, _ body: @escaping @Sendable (Element) async -> Result
) async -> [Result] {
    // One needs no task of its own.
    if let only = elements.first, elements.count == 1 { return [await body(only)] }
    return await withTaskGroup(of: (Int, Result).self) { group in
        var next = 0
        func start() {
            guard next < elements.count else { return }
            let (place, element) = (next, elements[next])
            next += 1
            group.addTask { (place, await body(element)) }
        }
        for _ in 0..<min(limit, elements.count) { start() }
        var results: [Int: Result] = [:]
        while let (place, result) = await group.next() {
            results[place] = result
            start()
        }
        return elements.indices.compactMap { results[$0] }
    }
}
