// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// A driver was told of a trip.
struct DriverDispatched: Event {
    static let type: MessageType = "city.driver.dispatched"
    let trip: Int
    let driver: Int
}

/// The driver comes.
struct DriverConfirmed: Event {
    static let type: MessageType = "city.driver.confirmed"
    let trip: Int
    var key: String { "\(trip)" }
}

/// The passenger has arrived.
struct TripEnded: Event {
    static let type: MessageType = "city.trip.ended"
    let trip: Int
}

/// What the passenger thought of it.
struct TripRated: Event {
    static let type: MessageType = "city.trip.rated"
    let trip: Int
    let stars: Int
    var key: String { "\(trip)" }
}
