// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension ConsumerRun {
    /// Messages that keep their order: those of one topic and key.
    struct Lane: Hashable, Sendable {
        let topic: Topic
        let key: PartitionKey
    }

    /// Something to handle.
    enum Work: Sendable {
        /// A delivery of the transport; `attempts` says how often it was tried if it was held back here since.
        case delivery(Delivery, attempts: Int?)
        /// A lane of the waiting room, with its first messages.
        case waiting(ClaimedLane)

        var delivery: Delivery? {
            if case .delivery(let delivery, _) = self { delivery } else { nil }
        }
    }

    typealias Dispatch = DispatchStateMachine<Lane, Work>
    typealias Ticket = Dispatch.Ticket

    /// What is to be settled, and which message of a lane the transport gets back by it.
    struct PendingSettlement: Sendable {
        let settlement: Settlement
        var returned: (lane: Lane, message: AttemptLedger.Key)?

        init(_ settlement: Settlement, returning returned: (lane: Lane, message: AttemptLedger.Key)? = nil) {
            self.settlement = settlement
            self.returned = returned
        }
    }

    /// A delivery that waits here, since its transport cannot delay it.
    struct Held: Sendable {
        let ticket: Ticket
        let delivery: Delivery
        let attempts: Int
        let due: MonotonicInstant
    }

    /// What the tasks of a run share.
    struct State: Sendable {
        var dispatch: Dispatch
        var ledger: AttemptLedger
        var returned = ReturnedLanes<Lane, AttemptLedger.Key>()
        var pulls: UInt64 = 0
        var settlements: [PendingSettlement] = []
        var held: [Held] = []
        /// Lanes of the waiting room that are claimed, with the time by which to renew the claim.
        var claims: [WaitingLane: (token: FencingToken, renewal: MonotonicInstant)] = [:]

        var isStopping = false
        /// Whether the grace period has ended, and the workers were cancelled.
        var isGraceOver = false
        var haveWorkersEnded = false
        var failure: (any Error)?

        var workers = WaiterList()
        var puller = WaiterList()
        var settler = WaiterList()
        var stop = WaiterList()

        init(prefetch: Int) {
            dispatch = Dispatch(prefetch: prefetch)
            ledger = AttemptLedger(capacity: max(1024, prefetch.multipliedReportingOverflow(by: 8).partialValue))
        }

        /// Whether it pays to ask the transport for more.
        var wantsMore: Bool {
            let room = dispatch.room
            return room > 0 && (dispatch.readyCount == 0 || room >= dispatch.prefetch / 4)
        }

        /// Gives deliveries back that nobody tried to handle.
        mutating func release(_ deliveries: [Delivery], counting: Bool) {
            for delivery in deliveries {
                if counting, let envelope = delivery.envelope { ledger.gaveBack(AttemptLedger.Key(delivery, envelope)) }
                settlements.append(PendingSettlement(.release(delivery.id)))
            }
        }

        /// Wakes as many workers as there is work for.
        mutating func wakeWorkers() -> [Wakeup] {
            var wakeUps: [Wakeup] = []
            for _ in 0..<dispatch.readyCount where !workers.isEmpty { wakeUps.append(workers.wakeFirst()) }
            return wakeUps
        }

        /// Wakes those who can go on after a worker has finished something.
        mutating func wakeAfterFinish() -> [Wakeup] {
            var wakeUps: [Wakeup] = []
            if !settler.isEmpty, !settlements.isEmpty { wakeUps.append(settler.wakeFirst()) }
            if !puller.isEmpty, wantsMore { wakeUps.append(puller.wakeFirst()) }
            // The worker that just finished takes one itself.
            if dispatch.readyCount > 1, !workers.isEmpty { wakeUps.append(workers.wakeFirst()) }
            return wakeUps
        }
    }
}
