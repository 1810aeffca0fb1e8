// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import DovetailCore

    /// What the thread of a member does: reads, commits, and gives partitions away.
    struct KafkaMemberLoop {
        /// Partitions that another member is to have, once what is in hand of them is settled.
        private struct Leaving {
            let partitions: [Partition]
            let deadline: MonotonicInstant
        }

        private let member: KafkaMember
        /// Where the answers to commits come.
        private let answers: OpaquePointer
        private var leaving: [Leaving] = []
        private var isCommitting = false
        /// Why the last commit failed, if it did.
        private var refusal: rd_kafka_resp_err_t?
        private var lastCommit: MonotonicInstant

        private static let pollTime: Int32 = 100
        /// How long to wait for room in some partitions before those are paused.
        ///
        /// That throws away what was read ahead, and librdkafka may take a second to read from them again.
        private static let roomTime = Duration.milliseconds(200)

        static func run(_ member: KafkaMember) {
            guard let answers = rd_kafka_queue_new(member.handle.raw) else {
                member.fail(with: TransportError(.unavailable, "librdkafka gave no queue. Free memory and try again."))
                member.hasEnded()
                return
            }
            var loop = KafkaMemberLoop(
                member: member, answers: answers, lastCommit: member.runtime.time.monotonic())
            while !member.isStopping { loop.step() }
            if !member.isAbandoned { loop.leaveGroup() }
            rd_kafka_queue_destroy(answers)
            member.messages.destroy()
            member.hasEnded()
            member.handle.destroy()
        }

        private var client: OpaquePointer { member.handle.raw }
        private var now: MonotonicInstant { member.runtime.time.monotonic() }

        private init(member: KafkaMember, answers: OpaquePointer, lastCommit: MonotonicInstant) {
            self.member = member
            self.answers = answers
            self.lastCommit = lastCommit
        }

        private mutating func step() {
            serveGroup()
            commit()
            pause(member.state.withLock { $0.resumeRoomy() }, false)
            switch member.state.withLock({ $0.room }) {
            case .free: receive()
            // What is not taken stays with librdkafka, which then reads no more ahead.
            case .none: _ = member.waitForRoom(atMost: .milliseconds(Int(Self.pollTime)))
            case .short:
                switch member.waitForRoom(atMost: Self.roomTime) {
                case .free, .none: break
                case .short: pause(member.state.withLock { $0.pauseCrowded() }, true)
                }
            }
        }

        /// Looks after the group; to be called often, or the group thinks that the member is stuck.
        private mutating func serveGroup() {
            while let message = rd_kafka_consumer_poll(client, 0) {
                report(message.pointee)
                rd_kafka_message_destroy(message)
            }
            // What is of the client and not of its group comes here.
            rd_kafka_poll(client, 0)
            look()
            giveAway()
        }

        // MARK: Reading

        private func receive() {
            var messages: [(partition: Partition, message: PartitionLanes.Message)] = []
            var time = min(Self.pollTime, member.settings.commitInterval.milliseconds)
            // So that no partition gets far beyond its room before that is looked at again.
            let limit = min(500, max(1, member.settings.limits.mostUnsettled / 8))
            while messages.count < limit, let message = rd_kafka_consume_queue(member.messages.raw, time) {
                defer { rd_kafka_message_destroy(message) }
                time = 0
                guard message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else {
                    report(message.pointee)
                    continue
                }
                if let read = read(message) { messages.append(read) }
            }
            member.received(messages)
        }

        private func read(
            _ message: UnsafeMutablePointer<rd_kafka_message_t>
        ) -> (partition: Partition, message: PartitionLanes.Message)? {
            let fields = message.pointee
            guard let topic = member.topics[String(cString: rd_kafka_topic_name(fields.rkt))] else { return nil }
            let record = KafkaWriter.record(of: fields, message)
            let content = record.content(from: topic)
            return (
                Partition(topic: topic, number: fields.partition),
                PartitionLanes.Message(
                    offset: fields.offset, key: record.partitionKey(of: content), content: content,
                    byteCount: record.byteCount)
            )
        }

        /// What comes in place of a message when the group or a partition has trouble.
        private func report(_ message: rd_kafka_message_t) {
            let code = message.err
            if code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__PARTITION_EOF { return }
            let error = TransportError(code, of: "The group '\(member.group)'")
            if code == RD_KAFKA_RESP_ERR__FATAL {
                var text = [CChar](repeating: 0, count: 512)
                let reason = rd_kafka_fatal_error(client, &text, text.count)
                let advice =
                    reason == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID
                    ? "Another member has its name: give each process an instance of its own." : "Subscribe again."
                member.fail(
                    with: TransportError(
                        .refused,
                        "The member of '\(member.group)' cannot go on: \(KafkaHandle.string(text)) "
                            + "(\(String(cString: rd_kafka_err2name(reason)))). \(advice)"))
            } else if error.code == .refused {
                member.fail(with: error)
            }
            trouble(code, error.message)
        }

        private func trouble(_ code: rd_kafka_resp_err_t, _ text: String) {
            member.runtime.instrument?.record(
                KafkaTroubled(group: member.group, code: String(cString: rd_kafka_err2name(code)), message: text))
        }

        private func pause(_ partitions: [Partition], _ isPaused: Bool) {
            if partitions.isEmpty { return }
            // Only those that change: to resume what is not paused would read messages again.
            PartitionList.with(names(partitions)) { list in
                _ = isPaused ? rd_kafka_pause_partitions(client, list) : rd_kafka_resume_partitions(client, list)
            }
        }

        private func names(
            _ partitions: [Partition], offset: Int64 = Int64(RD_KAFKA_OFFSET_STORED)
        ) -> [(name: KafkaReports.PartitionName, offset: Int64)] {
            partitions.compactMap { partition in
                (try? TopicName.name(of: partition.topic)).map {
                    (KafkaReports.PartitionName(topic: $0, number: partition.number), offset)
                }
            }
        }

        // MARK: Partitions that come and go

        /// Looks at what librdkafka told meanwhile.
        private mutating func look() {
            for report in member.handle.reports.take() {
                switch report {
                case .trouble, .throttled, .measured: report.tell(member.runtime.instrument, group: member.group)
                case .assigned(let names): assign(names)
                case .revoked(let names, let isLost): revoke(names, isLost: isLost)
                case .rebalanceFailed(let code):
                    leaving = []
                    drop(member.state.withLock { $0.partitions }, .lost)
                    rd_kafka_assign(client, nil)
                    trouble(code, "The group could not deal out its partitions.")
                }
            }
        }

        private func partitions(_ names: [KafkaReports.PartitionName]) -> [Partition] {
            names.compactMap { name in
                member.topics[name.topic].map { Partition(topic: $0, number: name.number) }
            }
        }

        private var isCooperative: Bool {
            rd_kafka_rebalance_protocol(client).map { String(cString: $0) == "COOPERATIVE" } ?? false
        }

        private func assign(_ names: [KafkaReports.PartitionName]) {
            let partitions = partitions(names)
            member.state.withLock { $0.assign(partitions) }
            for name in names {
                guard let queue = rd_kafka_queue_get_partition(client, name.topic, name.number) else { continue }
                rd_kafka_queue_forward(queue, member.messages.raw)
                rd_kafka_queue_destroy(queue)
            }
            PartitionList.with(self.names(partitions)) { list in
                if isCooperative {
                    finish(rd_kafka_incremental_assign(client, list))
                } else {
                    rd_kafka_assign(client, list)
                }
            }
            tell(.assigned, partitions)
        }

        private func unassign(_ partitions: [Partition]) {
            PartitionList.with(names(partitions)) { list in
                if isCooperative {
                    finish(rd_kafka_incremental_unassign(client, list))
                } else {
                    rd_kafka_assign(client, nil)
                }
            }
        }

        /// - Returns: Whether there is no error.
        @discardableResult
        private func finish(_ error: OpaquePointer?) -> Bool {
            guard let error else { return true }
            trouble(rd_kafka_error_code(error), String(cString: rd_kafka_error_string(error)))
            rd_kafka_error_destroy(error)
            return false
        }

        private mutating func revoke(_ names: [KafkaReports.PartitionName], isLost: Bool) {
            let partitions = partitions(names)
            if isLost {
                // What was to be given away in order is lost with the rest.
                let all = partitions + leaving.flatMap(\.partitions).filter { !partitions.contains($0) }
                leaving = []
                drop(all, .lost)
                return unassign(all)
            }
            member.state.withLock { $0.leave(partitions) }
            leaving.append(Leaving(partitions: partitions, deadline: now + member.settings.handoverTime))
        }

        /// Gives partitions away whose messages in hand are settled, or have been waited for long enough.
        private mutating func giveAway() {
            while let first = leaving.first {
                guard now >= first.deadline || !member.state.withLock({ $0.isInHand(anyOf: first.partitions) }) else {
                    return
                }
                leaving.removeFirst()
                commitLast(of: first.partitions)
                drop(first.partitions, .revoked)
                unassign(first.partitions)
            }
        }

        /// Forgets partitions, and what was not committed of them.
        private func drop(_ partitions: [Partition], _ change: KafkaPartitionsChanged.Change) {
            let paused = member.state.withLock { state in
                defer { state.remove(partitions) }
                return state.paused(of: partitions)
            }
            // A partition that comes back later is not to be paused then.
            pause(paused, false)
            tell(change, partitions)
        }

        private func tell(_ change: KafkaPartitionsChanged.Change, _ partitions: [Partition]) {
            guard let instrument = member.runtime.instrument else { return }
            for (topic, partitions) in Dictionary(grouping: partitions, by: \.topic) {
                instrument.record(
                    KafkaPartitionsChanged(
                        group: member.group, change: change, topic: topic,
                        partitions: partitions.map { Int($0.number) }.sorted()))
            }
        }

        // MARK: Committing

        /// Commits what was settled, now and then; one commit is under way at a time.
        private mutating func commit() {
            if isCommitting { takeAnswer(within: 0) }
            guard !isCommitting, !member.handle.reports.isJoining, now - lastCommit >= member.settings.commitInterval
            else { return }
            let positions = member.state.withLock { $0.takePositions() }
            if positions.isEmpty { return }
            startCommit(positions)
        }

        private mutating func startCommit(_ positions: [MemberState.Position]) {
            lastCommit = now
            refusal = nil
            let list = positions.flatMap { names([$0.partition], offset: $0.offset) }
            let code = PartitionList.with(list) { rd_kafka_commit_queue(client, $0, answers, nil, nil) }
            if code == RD_KAFKA_RESP_ERR_NO_ERROR {
                isCommitting = true
            } else {
                commitFailed(positions.map(\.partition), code)
            }
        }

        private mutating func takeAnswer(within milliseconds: Int32) {
            guard let event = rd_kafka_queue_poll(answers, milliseconds) else { return }
            defer { rd_kafka_event_destroy(event) }
            guard rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT else { return }
            isCommitting = false
            let code = rd_kafka_event_error(event)
            let list = rd_kafka_event_topic_partition_list(event)
            let failed = list.map { list in
                (0..<Int(list.pointee.cnt)).filter {
                    code != RD_KAFKA_RESP_ERR_NO_ERROR || list.pointee.elems[$0].err != RD_KAFKA_RESP_ERR_NO_ERROR
                }
            }
            guard let list, let failed, !failed.isEmpty else { return }
            commitFailed(
                partitions(failed.map { PartitionList.names(of: list)[$0] }),
                code == RD_KAFKA_RESP_ERR_NO_ERROR ? list.pointee.elems[failed[0]].err : code)
        }

        private mutating func commitFailed(_ partitions: [Partition], _ code: rd_kafka_resp_err_t) {
            refusal = code
            member.state.withLock { state in
                for partition in partitions { state.commitFailed(partition) }
            }
            trouble(code, "What was settled could not be committed: \(String(cString: rd_kafka_err2str(code)))")
        }

        /// Commits what was settled of partitions that are about to go, for as long as closing may take.
        ///
        /// Whoever has them next handles again what is not committed now. So a commit that is under way is waited for while its
        /// partitions are still known, and one that failed is tried again unless the group has gone on without this member.
        private mutating func commitLast(of partitions: [Partition]) {
            let deadline = now + member.settings.closeTimeout
            while now < deadline {
                if isCommitting {
                    takeAnswer(within: Self.pollTime)
                    continue
                }
                if let refusal, Self.isFinal(refusal) { return }
                let positions = member.state.withLock { $0.takePositions(of: partitions) }
                if positions.isEmpty { return }
                // Nothing comes while no commit is under way: a pause between two tries.
                if refusal != nil { takeAnswer(within: Self.pollTime) }
                startCommit(positions)
            }
        }

        /// Whether a commit that was refused so is refused again however often it is tried.
        private static func isFinal(_ code: rd_kafka_resp_err_t) -> Bool {
            switch code {
            case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
                RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
                RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST, RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR__DESTROY:
                true
            default: false
            }
        }

        // MARK: The end

        private mutating func leaveGroup() {
            // A member that goes while it joins does not get to say so, and its group waits for it until it is thought dead.
            var deadline = now + member.settings.closeTimeout
            while member.handle.reports.isJoining, now < deadline {
                serveGroup()
                // Nothing is handed out any more, so what comes meanwhile is left to others.
                if let message = rd_kafka_consume_queue(member.messages.raw, 10) { rd_kafka_message_destroy(message) }
            }
            let rest = member.state.withLock { $0.partitions }
            commitLast(of: rest)
            drop(rest, .revoked)
            guard let queue = rd_kafka_queue_new(client) else { return }
            defer { rd_kafka_queue_destroy(queue) }
            // The group must be left while partitions are still to be given away, or it would wait for that.
            for leaving in leaving { unassign(leaving.partitions) }
            leaving = []
            guard finish(rd_kafka_consumer_close_queue(client, queue)) else { return }
            deadline = now + member.settings.closeTimeout
            while rd_kafka_consumer_closed(client) == 0, now < deadline {
                rd_kafka_queue_poll_callback(queue, Self.pollTime)
                for case .revoked(let names, _) in member.handle.reports.take() { unassign(partitions(names)) }
            }
        }
    }
#endif
