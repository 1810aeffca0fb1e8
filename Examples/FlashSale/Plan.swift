// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation

/// What happens on the day of the sale, and what the checkout is made for.
enum Plan {
    static let merchants = 1...200
    static let viral = 77
    /// Long enough for several hundred orders of each merchant, so that a p99 is not a matter of two unlucky ones.
    static let duration: Duration = .seconds(900)
    /// Orders a second of each merchant, and of the crowd that comes to one.
    static let usualRate = 0.5
    static let crowdRate = 300.0
    static let crowd: Range<Duration> = .seconds(120)..<(.seconds(300))

    static let processors = ["north", "south"]
    /// When each processor does not answer.
    static let outages: [Range<Duration>] = [.seconds(180)..<(.seconds(240)), .seconds(600)..<(.seconds(660))]
    /// How long a payment may take before it is given up and the other processor is asked.
    static let paymentLimit: Duration = .milliseconds(400)

    /// How many payments the checkout can have under way, and how many of them one merchant.
    static let total = 28
    static let perMerchant = 4
    static let queue = 8
    static let longestWait: Duration = .milliseconds(500)
}

/// How a merchant is looked after.
enum Tier: String, CaseIterable {
    case gold, silver, bronze

    init(of merchant: Int) {
        self =
            switch merchant % 10 {
            case 0: .gold
            case 1...3: .silver
            default: .bronze
            }
    }
}

/// Something a customer wants to buy: all of it decided by the seed, the same with and without the crowd.
struct Order: Event {
    static let type: MessageType = "sale.order.placed"

    let id: String
    let merchant: Int
    let isOfCrowd: Bool
    /// How long the payment takes where it is made, in milliseconds.
    let milliseconds: Double
}

/// When the customers of one merchant come, and with what.
struct Customers: Sendable {
    let merchant: Int
    let rate: Double
    let isCrowd: Bool
    private let random: SeededRandom

    init(of merchant: Int, rate: Double, isCrowd: Bool, seed: UInt64) {
        self.merchant = merchant
        self.rate = rate
        self.isCrowd = isCrowd
        let stream = UInt64(merchant) * 2 + (isCrowd ? 1 : 0)
        random = SeededRandom(seed: seed &* 0x9E37_79B9_7F4A_7C15 ^ stream &* 0xD1B5_4A32_D192_ED03)
    }

    /// The time until the next one comes: they come independently of each other.
    func pause() -> Duration {
        .nanoseconds(Int64(-log(1 - random.unit()) / rate * 1e9))
    }

    func order(_ number: Int) -> Order {
        let slow = min(-log(1 - random.unit()) * 35, 250)
        return Order(
            id: "\(isCrowd ? "crowd" : "order")-\(merchant)-\(number)", merchant: merchant, isOfCrowd: isCrowd,
            milliseconds: 50 + slow)
    }
}
