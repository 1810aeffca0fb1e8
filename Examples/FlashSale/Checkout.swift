// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Takes payments, with what keeps the trouble of one merchant or processor from the others.
struct Checkout: Sendable {
    private let processors: [Processor]
    /// A breaker and a time limit around each processor.
    private let guards: [Guarded]
    private let merchants: KeyedBulkhead<Int>
    /// What there is without a bulkhead for each merchant: one limit for all, first come first served.
    private let everybody: Bulkhead
    private let hasBulkhead: Bool

    init(_ processors: [Processor], without: Set<Options.Protection>) {
        self.processors = processors
        guards = processors.map { processor in
            guard !without.contains(.breaker) else { return Guarded(by: .timeout(Plan.paymentLimit)) }
            let settings = CircuitBreakerSettings.consecutiveFailures(5, openWait: .fixed(.seconds(15)))
            return Guarded(by: CircuitBreaker(processor.name, settings), .timeout(Plan.paymentLimit))
        }
        hasBulkhead = !without.contains(.bulkhead)
        merchants = KeyedBulkhead(
            "merchants", limit: Plan.perMerchant, total: Plan.total, queue: Plan.queue, longestWait: Plan.longestWait)
        everybody = Bulkhead(
            "everybody", limit: Plan.total, queue: Plan.queue * Plan.merchants.count, longestWait: Plan.longestWait)
    }

    func pay(_ order: Order) async throws {
        if hasBulkhead {
            try await merchants.withPermit(for: order.merchant) { try await charge(order) }
        } else {
            try await everybody.withPermit { try await charge(order) }
        }
    }

    /// Half of the merchants ask one processor first and half the other; whoever fails is followed by the other.
    private func charge(_ order: Order) async throws {
        let first = order.merchant % processors.count
        do {
            try await charge(order, by: first)
        } catch {
            try await charge(order, by: (first + 1) % processors.count)
        }
    }

    private func charge(_ order: Order, by index: Int) async throws {
        let processor = processors[index]
        try await guards[index].call { try await processor.charge(order) }
    }
}
