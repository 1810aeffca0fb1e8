// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// A trip through the city: a hold on the passenger's card, a driver, the ride, the money, the stars, the receipt.
struct Trip<DB: CityDatabase>: Saga {
    static var name: String { "trip" }

    struct State: Codable, Sendable {
        let number: Int
        var driver: Int?
        var stars: Int?

        /// What the messages of the trip carry.
        var key: String { "\(number)" }
    }

    let city: City<DB>
    let options: Options

    var deadline: Duration? { .seconds(3600) }

    func businessKey(of state: State) -> String? { "trip \(state.number)" }

    var steps: [Step<State>] {
        Step("hold") { state, step in
            try await city.hold(state.number, key: step.idempotencyKey)
        } compensate: { state, step in
            if options.compensates { try await city.refund(state.number, key: step.idempotencyKey) }
        }
        .retrying(.exponential(from: .milliseconds(100), upTo: .seconds(5), attempts: 8))
        // A driver who declines is a failure like any other: the next attempt asks another one.
        Step("match", into: \.driver) { state, step in
            try await city.match(state.number, attempt: step.attempt, key: step.idempotencyKey)
        } compensate: { state, step in
            if options.compensates { try await city.free(state.number, key: step.idempotencyKey) }
        }
        .retrying(.exponential(from: .milliseconds(200), upTo: .seconds(2), attempts: 5))
        Step("dispatch") { state, step in
            try await city.stall(state.number, key: step.idempotencyKey)
            try await step.publish(DriverDispatched(trip: state.number, driver: state.driver ?? 0))
        }
        // Who gets no driver gets the money back.
        Wait(
            "confirmation", for: DriverConfirmed.self, by: \.key, matching: \.key,
            within: options.patience)
        Step(pivot: "ride") { state, step in
            try await city.ride(state.number, key: step.idempotencyKey)
            try await step.publish(TripEnded(trip: state.number))
        }
        .retrying(.exponential(from: .milliseconds(100), upTo: .seconds(5), attempts: 50))
        Step(retriable: "payment") { state, step in
            try await city.capture(state.number, key: step.idempotencyKey)
        }
        Wait(
            "rating", for: TripRated.self, by: \.key, matching: \.key, into: \.stars,
            within: options.patience, otherwise: .goOn
        ) { $0.stars }
        Step(retriable: "receipt") { state, step in
            try await city.receipt(state.number, key: step.idempotencyKey)
        }
    }
}
