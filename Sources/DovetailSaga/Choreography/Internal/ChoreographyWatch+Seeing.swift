// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore

extension ChoreographyWatch {
    /// The most conversations that are looked at between two looks at the clock.
    private static var batch: Int { 100 }
    /// The most that are told of at the same time.
    private static var atOnce: Int { 16 }

    var conversations: Table<DB, WatchedConversation> { Table("watch.\(flow.name)", in: database) }
    /// Conversations by the time at which to look at them.
    var due: Table<DB, WatchedName> { Table("watch.\(flow.name).due", in: database) }
    /// Conversations by the time at which something was last seen of them; those that have ended apart.
    var ages: Table<DB, WatchedName> { Table("watch.\(flow.name).ages", in: database) }
    /// Conversations that have stalled.
    var stalledNames: Table<DB, WatchedName> { Table("watch.\(flow.name).stalled", in: database) }

    // MARK: Seeing

    /// Takes a message down.
    func see(_ incoming: IncomingMessage) async throws {
        let attributes = incoming.envelope.attributes
        let id = incoming.context.correlationID
        let runtime = Runtime.current
        let now = runtime.time.now()
        let message = Conversation.Message(
            id: attributes.id, type: attributes.type, major: attributes.version.major, source: attributes.source,
            cause: attributes.causationID, seenAt: now)
        try await database.withTransaction { tx in
            let stored = try await conversations.entry(id.rawValue, in: tx)
            var conversation = stored?.row ?? WatchedConversation()
            guard conversation.add(message) else { return }
            let progress = FlowProgress(conversation.messages, in: flow)
            let news = conversation.update(with: progress, at: now)
            try await age(id, &conversation, progress, now, tx)
            try await keep(id, &conversation, version: stored?.version ?? 0, progress, now, tx)
            tell(news, of: id, runtime, tx)
        }
    }

    // MARK: Raising

    /// Raises what is late by now, and tells what was not told.
    ///
    /// - Returns: How long until something else may be late; `nil` if nothing can be.
    func raiseDue() async throws -> Duration? {
        while true {
            let now = Runtime.current.time.now()
            let page = try await database.withReadTransaction { tx in try await due.scan(limit: Self.batch, in: tx) }
            let latest = TimeKey.digits(of: now)
            let names = page.prefix { $0.key.prefix(latest.count) <= latest }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, entry) in names.enumerated() {
                    // One that takes its time to be told does not make the others late.
                    if number >= Self.atOnce { try await group.next() }
                    group.addTask { try await look(at: entry.row.conversation, because: entry.key) }
                }
                try await group.waitForAll()
            }
            guard names.count < page.count || page.count == Self.batch else { return nil }
            if names.count < page.count {
                return TimeKey.time(in: page[names.count].key).map { max(.milliseconds(1), $0 - now) }
            }
        }
    }

    /// Looks at a conversation whose time has come.
    private func look(at id: CorrelationID, because key: String) async throws {
        let runtime = Runtime.current
        let untold = try await repeatingConflicts {
            try await database.withTransaction { tx in
                let now = runtime.time.now()
                // Another copy of the watch may have been quicker.
                guard let stored = try await conversations.entry(id.rawValue, in: tx), stored.row.dueKey == key else {
                    try await due.delete(key, in: tx)
                    return [Stall]()
                }
                var conversation = stored.row
                let progress = FlowProgress(conversation.messages, in: flow)
                let news = conversation.update(with: progress, at: now)
                // Kept for a while: if this process ends before it has told, another tells.
                try await keep(
                    id, &conversation, version: stored.version, progress, now, isTelling: handler != nil, tx)
                tell(news, of: id, runtime, tx)
                return conversation.untold.map { conversation.stalls[$0] }
            }
        }
        guard let handler, !untold.isEmpty else { return }
        do {
            for stall in untold {
                if !stall.toldRaised { try await handler(alert(.stalled, stall, id)) }
                if stall.resolvedAt != nil { try await handler(alert(.resolved, stall, id)) }
            }
        } catch is CancellationError where Task.isCancelled {
            throw CancellationError()
        } catch {
            runtime.instrument?.record(
                ChoreographyWatchFailed(flow.name, error: FailureDetail(error, of: nil, runtime: runtime).message))
            return
        }
        // What was told is noted also by one that is stopped, or another tells it again.
        try await withCancellationShield {
            try await note(untold, of: id, runtime)
        } onCancel: {
        }
    }

    /// Notes that stalls were told of.
    private func note(_ told: [Stall], of id: CorrelationID, _ runtime: Runtime) async throws {
        try await repeatingConflicts {
            try await database.withTransaction { tx in
                guard let stored = try await conversations.entry(id.rawValue, in: tx) else { return }
                var conversation = stored.row
                for told in told {
                    for index in conversation.stalls.indices where conversation.stalls[index].isSame(as: told) {
                        conversation.stalls[index].toldRaised = true
                        if told.resolvedAt != nil { conversation.stalls[index].toldResolved = true }
                    }
                }
                let progress = FlowProgress(conversation.messages, in: flow)
                try await keep(id, &conversation, version: stored.version, progress, runtime.time.now(), tx)
            }
        }
    }

    // MARK: Rows

    /// Writes a conversation, and when it is to be looked at next.
    private func keep(
        _ id: CorrelationID, _ conversation: inout WatchedConversation, version: Int64, _ progress: FlowProgress,
        _ now: Timestamp, isTelling: Bool = false, _ tx: DB.Transaction
    ) async throws {
        var next = conversation.nextDue(progress, after: now)
        if handler == nil {
            for index in conversation.untold {
                conversation.stalls[index].toldRaised = true
                conversation.stalls[index].toldResolved = conversation.stalls[index].resolvedAt != nil
            }
        } else if !conversation.untold.isEmpty {
            let look = isTelling ? TimeKey.roundedUp(now + retryInterval) : now
            next = min(next ?? look, look)
        }
        let key = next.map { TimeKey.make($0, id.rawValue) }
        if key != conversation.dueKey {
            if let old = conversation.dueKey { try await due.delete(old, in: tx) }
            if let key {
                try await due.put(WatchedName(conversation: id), at: key, in: tx)
                tx.afterCommit { [wakeUp] in wakeUp.notify() }
            }
            conversation.dueKey = key
        }
        if conversation.isStalled != conversation.isListed {
            conversation.isListed = conversation.isStalled
            if conversation.isListed {
                try await stalledNames.put(WatchedName(conversation: id), at: id.rawValue, in: tx)
            } else {
                try await stalledNames.delete(id.rawValue, in: tx)
            }
        }
        try await conversations.put(conversation, at: id.rawValue, expecting: version, in: tx)
    }

    /// Notes when something was last seen of a conversation, for the sweep.
    private func age(
        _ id: CorrelationID, _ conversation: inout WatchedConversation, _ progress: FlowProgress, _ now: Timestamp,
        _ tx: DB.Transaction
    ) async throws {
        if let old = conversation.ageKey { try await ages.delete(old, in: tx) }
        var hasEnded = false
        if case .ended = conversation.state(progress) { hasEnded = true }
        let key = (hasEnded ? WatchAge.ended : WatchAge.open) + TimeKey.make(now, id.rawValue)
        try await ages.put(WatchedName(conversation: id), at: key, in: tx)
        conversation.ageKey = key
    }

    private func tell(
        _ news: (raised: [Stall], resolved: [Stall]), of id: CorrelationID, _ runtime: Runtime, _ tx: DB.Transaction
    ) {
        guard let instrument = runtime.instrument else { return }
        for stall in news.raised {
            let event = ConversationStalled(alert(.stalled, stall, id))
            tx.afterCommit { instrument.record(event) }
        }
        for stall in news.resolved {
            let event = ConversationResumed(alert(.resolved, stall, id))
            tx.afterCommit { instrument.record(event) }
        }
    }

    func alert(_ kind: ConversationAlert.Kind, _ stall: Stall, _ id: CorrelationID) -> ConversationAlert {
        ConversationAlert(flow: flow.name, conversation: id, kind: kind, stall: stall)
    }
}

/// What the names of conversations begin with in the list by age.
enum WatchAge {
    static let ended = "ended/"
    static let open = "open/"
}

extension Stall {
    fileprivate func isSame(as other: Stall) -> Bool {
        hop == other.hop && round == other.round && since == other.since && due == other.due
    }
}
