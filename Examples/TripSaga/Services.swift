// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What runs in one process: an engine with its inbox, the relay, and those who answer.
struct TripServices<DB: CityDatabase, Bus: Transport>: Service {
    let database: DB
    let bus: Bus
    let options: Options
    var points: TripPoints?

    func engine() throws -> SagaEngine<ShakyDatabase<DB>> {
        let shaky = ShakyDatabase(inner: database, options: options, points: points)
        return try SagaEngine(
            Trip(city: City(database: shaky, options: options, points: points), options: options), in: shaky,
            settings: SagaEngineSettings(
                concurrency: 32, pollInterval: .milliseconds(200), lease: options.lease, mostTakeovers: 1000))
    }

    func run() async throws {
        let engine = try engine()
        let outbox = Outbox(in: database)
        let inbox = Consumer(Options.inbox, on: bus) { engine.routes }
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

extension SagaEngine {
    /// Those whose engine is cut off, and some others, change their mind.
    func cancelSome(_ options: Options) async throws {
        for number in 1...options.trips where options.stalls(number) || number % 29 == 0 {
            do {
                try await persistently {
                    try await cancel(Options.id(of: number), by: "passenger", why: "It takes too long.")
                }
            } catch let error as SagaError where [.pastPivot, .alreadyEnded].contains(error.code) {}
        }
    }
}

/// Does again what others got in the way of, as whoever asks a database has to.
func persistently(_ body: () async throws -> Void) async throws {
    for attempt in 1... {
        do {
            return try await body()
        } catch let error as DatabaseError where error.code.isTransient && attempt < 50 {
            try await Runtime.current.time.sleep(for: .milliseconds(20 * attempt))
        }
    }
}
