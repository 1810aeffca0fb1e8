// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What the other merchants got, compared with what they are owed.
struct Verdict {
    static let availability = 0.999
    static let slowdown = 1.2

    struct Other {
        let merchant: Int
        let availability: Double
        let p99: Duration
        let calm: Duration

        var slowdown: Double { calm > .zero ? p99 / calm : 1 }
    }

    let others: [Other]
    /// For each tier: placed, paid and kept.
    let tiers: [(tier: Tier, placed: Int, paid: Int, kept: Int)]

    init(_ sale: Sale.Result, _ calm: Sale.Result) {
        others = Plan.merchants.filter { $0 != Plan.viral }.map { merchant in
            let figures = sale.books.merchants[merchant] ?? Books.Figures()
            return Other(
                merchant: merchant, availability: figures.availability, p99: figures.p99,
                calm: calm.books.merchants[merchant]?.p99 ?? .zero)
        }
        tiers = Tier.allCases.map { tier in
            let figures = sale.books.tiers[tier] ?? Books.Figures()
            return (tier, figures.placed, figures.paid, sale.letters[tier] ?? 0)
        }
    }

    var unavailable: [Other] {
        others.filter { $0.availability < Self.availability }.sorted { $0.availability < $1.availability }
    }

    var slow: [Other] { others.filter { $0.slowdown > Self.slowdown }.sorted { $0.slowdown > $1.slowdown } }

    var isAccountedFor: Bool { tiers.allSatisfy { $0.paid + $0.kept == $0.placed } }

    var isFine: Bool { unavailable.isEmpty && slow.isEmpty && isAccountedFor }

    var leastAvailability: Double { others.map(\.availability).min() ?? 1 }
    var greatestSlowdown: Double { others.map(\.slowdown).max() ?? 1 }
}
