// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// A service and the database that is its own.
struct Site<DB: ShopDatabase>: Sendable {
    let name: Options.ServiceName
    let database: DB
}

/// Where services keep their rows, and what carries their messages.
struct Premises<DB: ShopDatabase, Bus: Transport>: Sendable {
    let bus: Bus
    /// The services that this process runs or looks at, in the order of their names' declaration.
    let sites: [Site<DB>]
    var relays: any RelayMaker<DB> = TableRelays<DB>()
    /// Whether they outlive the process, and other processes may use them at the same time.
    var isLasting = false
    /// The name of the run on a broker, if the bus is one.
    var run: String?
}

/// Something that is done on premises of whatever kind.
protocol PremisesVisitor<Result>: Sendable {
    associatedtype Result: Sendable

    func visit<DB: ShopDatabase, Bus: BacklogReportingTransport>(_ premises: Premises<DB, Bus>) async throws -> Result

    /// Whether nobody will go on with what this has done.
    func isEnd(_ result: Result) -> Bool
}

extension PremisesVisitor {
    func isEnd(_ result: Result) -> Bool { false }
}

/// Something that a run needs is not there, or not as it needs it.
struct Unusable: Error {
    let message: String

    static let earlierRun = Unusable(
        message: "the files hold the orders of an earlier run. Add --resume to go on with it, or name other files.")
}

/// The process was asked to end before the orders had.
struct Interrupted: Error {}
