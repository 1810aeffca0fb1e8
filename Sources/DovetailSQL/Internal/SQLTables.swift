// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The names of the library's tables.
struct SQLTables: Sendable {
    let prefix: String

    /// What the tables are: their version, their owner.
    var schema: String { name("schema") }
    /// Numbers that only rise.
    var counters: String { name("counters") }
    var rows: String { name("rows") }
    var outbox: String { name("outbox") }
    var outboxScheduled: String { name("outbox_scheduled") }
    var outboxLanes: String { name("outbox_lanes") }
    var outboxClaims: String { name("outbox_claims") }
    var outboxParked: String { name("outbox_parked") }
    var keys: String { name("idempotency_keys") }
    var requests: String { name("idempotency_requests") }
    var waitingLanes: String { name("waiting_lanes") }
    var waiting: String { name("waiting") }
    var deadLetters: String { name("dead_letters") }
    /// How many dead letters there are of each kind.
    var deadLetterGroups: String { name("dead_letter_groups") }
    /// What is remembered of dead letters that left.
    var deadLetterRecords: String { name("dead_letter_records") }
    var sagas: String { name("sagas") }
    /// Which sagas wait for which messages.
    var sagaWaits: String { name("saga_waits") }
    var sagaMessages: String { name("saga_messages") }
    var sagaHistory: String { name("saga_history") }
    var busMessages: String { name("bus_messages") }
    /// Which groups read which topics.
    var busGroups: String { name("bus_groups") }
    var busLanes: String { name("bus_lanes") }
    var busDeliveries: String { name("bus_deliveries") }

    /// The counter that is there once something reads the log.
    static let logMark = "log relay"

    /// The number of the lock that migrations hold.
    static let lockNumber: Int64 = 0x646f_7665_7461_696c

    /// Keeps claims of the outbox apart.
    var outboxClaimLock: Int64 { lockNumber("outbox claims") }
    /// Held together by those who publish, and alone by those who change which groups there are.
    var busGroupsLock: Int64 { lockNumber("bus groups") }

    /// The number of a lock of these tables; two locks may have the same by chance, once in billions, and are then one.
    func lockNumber(_ purpose: String, _ parts: String...) -> Int64 {
        var hash = SHA256()
        for part in [prefix, purpose] + parts {
            // The lengths keep the parts apart, whatever characters they contain.
            hash.update(Array("\(part.utf8.count):\(part)".utf8))
        }
        return Int64(bitPattern: hash.finalize().leadingHalves.high)
    }

    private func name(_ name: String) -> String { prefix + name }

    /// Checks that the prefix is a name in every dialect, since a name cannot be a bound parameter.
    func validate() throws {
        let isValid =
            (1...40).contains(prefix.utf8.count)
            && prefix.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
            && !prefix.utf8.prefix(1).allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard isValid else {
            throw DatabaseError(
                .unsupported,
                "The table prefix '\(prefix)' is not one. Use 1 to 40 letters, digits and underscores, and no digit first."
            )
        }
    }
}
