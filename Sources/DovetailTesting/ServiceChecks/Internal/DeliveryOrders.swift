// SPDX-License-Identifier: Apache-2.0

package import DovetailCore

/// The orders in which messages may come, each of them twice.
///
/// Those of one topic and partition key come for the first time in the order in which they were sent; a repeat comes at any time
/// after the first. No transport promises more.
package struct DeliveryOrders {
    private let lanes: [Lane?]
    private let most: Int

    private struct Lane: Hashable {
        let topic: Topic
        let key: PartitionKey
    }

    package init(of envelopes: [Envelope<Bytes>], most: Int) {
        lanes = envelopes.map { envelope in
            envelope.attributes.partitionKey.map { Lane(topic: envelope.attributes.topic, key: $0) }
        }
        self.most = most
    }

    /// All orders if there are no more than asked for; otherwise some of them, the same ones each time.
    package func make() -> [[Int]] {
        var orders: [[Int]] = []
        var order: [Int] = []
        if extend(&order, counts: Array(repeating: 0, count: lanes.count), into: &orders) { return orders }
        return chosen()
    }

    /// - Returns: `false` if there are too many.
    private func extend(_ order: inout [Int], counts: [Int], into orders: inout [[Int]]) -> Bool {
        guard order.count < 2 * lanes.count else {
            orders.append(order)
            return orders.count <= most
        }
        for index in lanes.indices where mayCome(index, counts) {
            var counts = counts
            counts[index] += 1
            order.append(index)
            defer { order.removeLast() }
            guard extend(&order, counts: counts, into: &orders) else { return false }
        }
        return true
    }

    private func mayCome(_ index: Int, _ counts: [Int]) -> Bool {
        guard counts[index] == 0 else { return counts[index] < 2 }
        guard let lane = lanes[index] else { return true }
        return !lanes.indices.contains { $0 < index && lanes[$0] == lane && counts[$0] == 0 }
    }

    /// Each message twice in a row, all of them and all again, and then whatever the dice say.
    private func chosen() -> [[Int]] {
        let once = Array(lanes.indices)
        var orders = [once.flatMap { [$0, $0] }, once + once]
        var random = SeededRandom(seed: UInt64(lanes.count)).generator
        while orders.count < most {
            var counts = Array(repeating: 0, count: lanes.count)
            var order: [Int] = []
            while let index = lanes.indices.filter({ mayCome($0, counts) }).randomElement(using: &random) {
                counts[index] += 1
                order.append(index)
            }
            orders.append(order)
        }
        return Array(orders.prefix(most))
    }
}
