// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension ConsumerRun {
    // MARK: Pulling

    /// Takes batches from the transport until the consumer stops.
    func pull(from subscription: any TransportSubscription) async throws {
        try await untilStopped {
            while true {
                let (room, number) = try await self.monitor.wait(in: \.puller) { state -> (Int, UInt64)? in
                    if state.isStopping { return (0, 0) }
                    guard state.wantsMore else { return nil }
                    state.pulls += 1
                    state.returned.willPull(state.pulls)
                    return (state.dispatch.room, state.pulls)
                }
                if room == 0 { return }
                let deliveries = try await self.persistently("receive") { try await subscription.next(atMost: room) }
                // Closed by someone else: there is nothing more to come.
                if deliveries.isEmpty { return }
                try await self.accept(deliveries, pull: number)
            }
        }
    }

    private func accept(_ deliveries: [Delivery], pull: UInt64) async throws {
        if let instrument = runtime.instrument {
            for delivery in deliveries {
                guard let attributes = delivery.envelope?.attributes else { continue }
                instrument.record(MessageReceived(attributes, consumer: name, attempt: delivery.attempt ?? 1))
            }
        }
        let unsure = enqueue(deliveries, pull: pull, leavingOutUnsure: room != nil)
        if let room, !unsure.isEmpty { try await enqueueFree(unsure, pull: pull, room: room) }
    }

    /// Enqueues messages whose lanes may be occupied in the waiting room: those have to follow into it, unless they are free.
    ///
    /// No message of these lanes is in hand, so that none can move to the waiting room meanwhile.
    private func enqueueFree(_ deliveries: [Delivery], pull: UInt64, room: any WaitingRoomAccess) async throws {
        let lanes = Set(deliveries.compactMap { waitingLane(of: $0) })
        let occupied = try await persistently("look into the waiting room") {
            try await room.occupied(lanes, for: name)
        }
        var free = deliveries
        let followers = deliveries.filter { waitingLane(of: $0).map(occupied.contains) ?? false }
        if !followers.isEmpty {
            let admitted = try await persistently("admit followers") {
                try await room.admitFollowers(followers.compactMap { entry(for: $0) })
            }
            let parked = followers.filter { entry(for: $0).map { admitted.contains($0.id) } ?? false }
            let ids = Set(parked.map(\.id))
            free.removeAll { ids.contains($0.id) }
            settleParked(parked)
            roomWakeUp.notify()
        }
        enqueue(free, pull: pull, leavingOutUnsure: false)
    }

    private func settleParked(_ deliveries: [Delivery]) {
        for delivery in deliveries {
            guard let attributes = delivery.envelope?.attributes else { continue }
            runtime.instrument?.record(MessageParked(attributes, consumer: name))
        }
        let wakeUps = monitor.withLock { state -> [Wakeup] in
            for delivery in deliveries {
                state.ledger.forget(delivery)
                state.settlements.append(PendingSettlement(.acknowledge(delivery.id)))
            }
            return state.wakeAfterFinish()
        }
        for wakeUp in wakeUps { wakeUp.resume() }
    }

    /// Has messages wait for their turn, or gives them back if they came out of turn.
    ///
    /// - Parameters:
    ///   - deliveries: The messages, in the order in which they came.
    ///   - pull: The pull with which they came.
    ///   - leavesOutUnsure: Whether to leave out those whose lane may be occupied in the waiting room. Those are the ones of
    ///     lanes of which nothing is in hand; a message behind one that is in hand goes where that one goes.
    /// - Returns: Those that were left out.
    @discardableResult
    private func enqueue(
        _ deliveries: [Delivery], pull: UInt64, leavingOutUnsure leavesOutUnsure: Bool
    ) -> [Delivery] {
        let (unsure, wakeUps) = monitor.withLock { state -> ([Delivery], [Wakeup]) in
            var unsure: [Delivery] = []
            for delivery in deliveries {
                let lane = lane(of: delivery)
                if let lane, leavesOutUnsure, !state.dispatch.isInHand(lane) {
                    unsure.append(delivery)
                    continue
                }
                if let lane, !state.returned.isEmpty, let envelope = delivery.envelope {
                    let message = AttemptLedger.Key(delivery, envelope)
                    guard state.returned.admits(message, of: lane, pull: pull) else {
                        state.release([delivery], counting: countsReleases)
                        continue
                    }
                }
                if state.isStopping, lane.map({ !state.dispatch.isInHand($0) }) ?? true {
                    state.release([delivery], counting: countsReleases)
                    continue
                }
                state.dispatch.enqueue(.delivery(delivery, attempts: nil), lane: lane)
            }
            var wakeUps = state.wakeWorkers()
            if !state.settlements.isEmpty { wakeUps.append(state.settler.wakeFirst()) }
            return (unsure, wakeUps)
        }
        for wakeUp in wakeUps { wakeUp.resume() }
        return unsure
    }

    func lane(of delivery: Delivery) -> Lane? {
        delivery.envelope?.attributes.partitionKey.map { Lane(topic: delivery.topic, key: $0) }
    }

    private func waitingLane(of delivery: Delivery) -> WaitingLane? {
        delivery.envelope?.attributes.partitionKey.map { WaitingLane(topic: delivery.topic, key: $0) }
    }

    /// A delivery as an entry of the waiting room.
    func entry(for delivery: Delivery, attempts: Int = 0, failure: FailureDetail? = nil) -> WaitingEntry? {
        delivery.envelope.map {
            WaitingEntry(
                consumer: name, envelope: $0, topic: delivery.topic, position: delivery.position, attempts: attempts,
                failure: failure)
        }
    }

    // MARK: Settling

    /// Settles what the workers have done, as much at once as there is.
    func settle(on subscription: any TransportSubscription) async throws {
        while true {
            let pending = try await monitor.wait(in: \.settler) { state -> [PendingSettlement]? in
                if state.settlements.isEmpty { return state.haveWorkersEnded ? [] : nil }
                defer { state.settlements = [] }
                return state.settlements
            }
            if pending.isEmpty { return }
            try await persistently("settle") { try await subscription.settle(pending.map(\.settlement)) }
            monitor.withLock { state in
                for case let returned? in pending.lazy.map(\.returned) {
                    state.returned.didReturn(returned.message, of: returned.lane, lastPull: state.pulls)
                }
            }
        }
    }

    // MARK: Holding back

    /// Has those that were held back here handled again when they are due.
    func releaseHeld() async throws {
        try await untilStopped {
            while true {
                let now = self.runtime.time.monotonic()
                let (next, wakeUps) = self.monitor.withLock { state -> (MonotonicInstant?, [Wakeup]) in
                    for held in state.held where held.due <= now {
                        state.dispatch.putBack(held.ticket, as: .delivery(held.delivery, attempts: held.attempts))
                    }
                    state.held.removeAll { $0.due <= now }
                    return (state.held.map(\.due).min(), state.wakeWorkers())
                }
                for wakeUp in wakeUps { wakeUp.resume() }
                if let next {
                    try await self.heldWakeUp.wait(atMost: next - now, time: self.runtime.time)
                } else {
                    try await self.heldWakeUp.wait()
                }
            }
        }
    }
}
