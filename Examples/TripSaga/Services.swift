// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What runs in one process: an engine with its inbox, the relay, and those who answer.
struct TripServices<DB: CityDatabase, Bus: Transport>: Service {
    let database: DB
    let bus: Bus
    let options: Options

    func engine() throws -> SagaEngine<ShakyDatabase<DB>> {
        let shaky = ShakyDatabase(inner: database, options: options)
        return try SagaEngine(
            Trip(city: City(database: shaky, options: options), options: options), in: shaky,
            settings: SagaEngineSettings(
                concurrency: 32, pollInterval: .milliseconds(200), lease: options.lease, mostTakeovers: 1000))
    }

    func run() async throws {
        let engine = try engine()
        let outbox = Outbox(in: database)
        let inbox = Consumer("trips", on: bus) { engine.routes }
        let drivers = Consumer("drivers", on: bus) {
            On(DriverDispatched.self, once: database) { dispatched, _, tx in
                // Some drivers never answer.
                guard dispatched.trip % 17 != 0 else { return }
                try await outbox.publish(DriverConfirmed(trip: dispatched.trip), in: tx)
            }
        }
        let passengers = Consumer("passengers", on: bus) {
            On(TripEnded.self, once: database) { ended, _, tx in
                guard ended.trip % 3 != 0 else { return }
                try await outbox.publish(TripRated(trip: ended.trip, stars: ended.trip % 5 + 1), in: tx)
            }
        }
        try await Services(OutboxRelay(from: database, to: bus), inbox, drivers, passengers, engine).run()
    }
}
