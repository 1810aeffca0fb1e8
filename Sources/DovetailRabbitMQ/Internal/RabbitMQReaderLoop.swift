// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import CRabbitMQ
    import DovetailCore

    /// What the thread of a reader does: receives for its members, tells the broker what they settled, and shares queues out.
    struct RabbitMQReaderLoop: ~Copyable {
        /// A queue that is read over a channel of its own, so that to close the channel gives back what is in hand, in order,
        /// before another member gets anything.
        private struct Reading {
            let member: RabbitMQMember
            let names: RabbitMQNames
            let partition: Partition
            var line = SettlementLine()
            var isActive = false
            /// When the queue is given to another member, whatever is in hand.
            var deadline: MonotonicInstant?
        }

        /// What says that a member is there, and reads a topic.
        private struct Presence {
            let member: RabbitMQMember
            let names: RabbitMQNames
        }

        /// A member that is about to join.
        private struct Joining {
            let member: RabbitMQMember
            let answer: @Sendable (Result<Void, TransportError>) -> Void
            /// Whether the connection was lost over it.
            var hasFailed = false
        }

        private let reader: RabbitMQReader
        private var connection: AMQPConnection?
        private var backOff = BackOff()
        private var members: [RabbitMQMember] = []
        private var joining: [Joining] = []
        private var readings: [UInt16: Reading] = [:]
        /// The channels by which members say that they are there.
        private var presences: [UInt16: Presence] = [:]
        /// Those that others cannot count for now.
        private var unheard: [Presence] = []
        private var lastChannel: UInt16 = 1
        private var nextBalance: MonotonicInstant
        private var isAbandoned = false

        private static let topology: UInt16 = 1
        private static let mostChannels: UInt16 = 2000
        private static let balanceTime = Duration.seconds(1)

        init(_ reader: RabbitMQReader) {
            self.reader = reader
            nextBalance = reader.runtime.time.monotonic()
        }

        private var settings: RabbitMQSettings { reader.settings }
        private var now: MonotonicInstant { reader.runtime.time.monotonic() }

        consuming func run() {
            repeat {
                obey()
                if connection == nil { connect() }
                do throws(AMQPFailure) {
                    try join()
                    try tell()
                    try receive()
                    try giveAway()
                    try balance()
                } catch {
                    lose(error)
                }
                rest()
            } while !mayEnd()
            if isAbandoned { connection?.abandon() }
            connection = nil
            for member in members { member.hasEnded() }
        }

        private mutating func mayEnd() -> Bool {
            let isDone = isAbandoned || members.isEmpty && joining.isEmpty
            return reader.state.withLock { state in
                guard isDone, isAbandoned || state.commands.isEmpty else { return false }
                state.hasEnded = true
                return true
            }
        }

        private func rest() {
            // The thread ends, or commands have come that are not obeyed yet.
            if isAbandoned || members.isEmpty && joining.isEmpty { return }
            guard let connection else {
                var time: Int64 = 500
                if let next = backOff.next { time = (next - now).nanoseconds / 1_000_000 + 1 }
                return wait(for: -1, atMost: .milliseconds(max(1, time)))
            }
            let isWaitedFor = readings.values.contains { $0.deadline != nil }
            wait(for: connection.socket, atMost: .milliseconds(isWaitedFor ? 20 : 200))
        }

        private func wait(for socket: Int32, atMost limit: Duration) {
            reader.wait.wait(for: socket, until: SystemTime().monotonic() + limit)
        }

        // MARK: Members

        private mutating func obey() {
            for command in reader.state.withLock({ state in state.commands.take() }) {
                switch command {
                case .attach(let member, let answer): joining.append(Joining(member: member, answer: answer))
                case .detach(let member): detach(member)
                case .abandon: isAbandoned = true
                case .cut:
                    connection?.abandon()
                    lose(AMQPFailure(cause: .library(status: AMQP_STATUS_CONNECTION_CLOSED.rawValue)))
                }
            }
        }

        private mutating func join() throws(AMQPFailure) {
            guard connection != nil else { return }
            while let next = joining.first {
                let member = next.member
                do throws(AMQPFailure) {
                    try open(member)
                } catch {
                    // One connection may have been dead before. What ends the next one too would end them all.
                    guard error.isOfChannel || next.hasFailed else {
                        joining[0].hasFailed = true
                        throw error
                    }
                    joining.removeFirst()
                    let subject = "The group '\(member.group)'"
                    next.answer(
                        .failure(error.isOfChannel ? error.error(of: subject) : error.passingError(of: subject)))
                    guard error.isOfChannel else { throw error }
                    try close(member)
                    continue
                }
                joining.removeFirst()
                members.append(member)
                publishMembers()
                next.answer(.success(()))
            }
        }

        private mutating func failJoining(with error: TransportError) {
            for next in joining { next.answer(.failure(error)) }
            joining = []
        }

        private func publishMembers() {
            let members = members
            reader.state.withLock { $0.members = members }
        }

        private mutating func detach(_ member: RabbitMQMember) {
            // One that was cancelled before it had joined waits for no answer.
            joining.removeAll { $0.member === member }
            do throws(AMQPFailure) {
                try tell()
                try close(member)
            } catch {
                lose(error)
            }
            members.removeAll { $0 === member }
            publishMembers()
            member.hasEnded()
        }

        // MARK: The connection

        private mutating func connect() {
            guard !isAbandoned, !members.isEmpty || !joining.isEmpty, backOff.isDue(now) else { return }
            do {
                connection = try AMQPConnection(settings, purpose: "subscriber")
            } catch {
                failed(to: "connect", error.message)
                return failJoining(with: error)
            }
            lastChannel = Self.topology
            for member in members {
                do throws(AMQPFailure) {
                    try open(member)
                } catch {
                    let problem = error.error(of: "The group '\(member.group)'")
                    if error.isOfChannel, !problem.code.isTransient {
                        member.fail(with: problem)
                        continue
                    }
                    lose(error)
                    // They do not wait until the others can read again.
                    failJoining(with: error.passingError(of: "RabbitMQ at \(settings.address)"))
                    return failed(to: error.code, error.text)
                }
            }
            backOff.succeeded()
        }

        private mutating func failed(to code: String, _ text: String) {
            backOff.failed(at: now, random: reader.runtime.random)
            trouble(code, text)
        }

        private func trouble(_ code: String, _ text: String, _ group: ConsumerGroup? = nil) {
            reader.runtime.instrument?.record(
                RabbitMQTroubled(group: group ?? members.first?.group, code: code, message: text))
        }

        /// Goes on without the connection: the broker gives all that was in hand to others.
        private mutating func lose(_ failure: AMQPFailure) {
            trouble(failure.code, failure.text)
            for member in members { member.state.withLock { $0.dropAll() } }
            for reading in readings.values where reading.isActive { changed(reading, .lost) }
            readings = [:]
            presences = [:]
            unheard = []
            connection = nil
        }

        private func changed(_ reading: Reading, _ change: RabbitMQPartitionChanged.Change) {
            reader.runtime.instrument?.record(
                RabbitMQPartitionChanged(
                    group: reading.member.group, change: change, topic: reading.partition.topic,
                    partition: Int(reading.partition.number)))
        }

        // MARK: Queues

        private mutating func newChannel(_ connection: AMQPConnection) throws(AMQPFailure) -> UInt16 {
            let most = min(Self.mostChannels, connection.mostChannels)
            // From the last one on: most of those before it are in use.
            for _ in Self.topology..<most {
                lastChannel = lastChannel < most ? lastChannel + 1 : Self.topology + 1
                if !connection.isOpen(lastChannel) { return lastChannel }
            }
            throw AMQPFailure(cause: .noChannel(most: Int(most)))
        }

        private mutating func open(_ member: RabbitMQMember) throws(AMQPFailure) {
            guard let connection else { return }
            for names in member.topics {
                try connection.open(Self.topology)
                try RabbitMQTopology.declare(names, settings.topics, on: Self.topology, connection)
                try RabbitMQTopology.declare(member.group, of: names, settings.topics, on: Self.topology, connection)
                try announce(Presence(member: member, names: names))
                for number in 0..<names.partitions { try open(number, of: names, member) }
            }
        }

        /// Lets the others count a member, by a consumer of a queue that goes with its last one.
        private mutating func announce(_ presence: Presence) throws(AMQPFailure) {
            guard let connection else { return }
            let (group, names) = (presence.member.group, presence.names)
            // The last one may be that of a dead process, and go between two words of ours.
            for attempt in 1...10 {
                let channel = try newChannel(connection)
                do throws(AMQPFailure) {
                    try connection.open(Self.topology)
                    try RabbitMQTopology.countMembers(of: group, in: names, on: Self.topology, connection)
                    try connection.open(channel)
                    try connection.consume(names.members(of: group), prefetch: nil, on: channel)
                    presences[channel] = presence
                    return
                } catch  where error.isNotFound && attempt < 10 {
                    continue
                } catch  where error.isNotFound {
                    // The node of a cluster that has the queue is down. Reading does not wait for that.
                    trouble(error.code, error.text, group)
                    return unheard.append(presence)
                }
            }
        }

        private mutating func open(
            _ number: Int, of names: RabbitMQNames, _ member: RabbitMQMember
        ) throws(AMQPFailure) {
            guard let connection else { return }
            let partition = Partition(topic: names.topic, number: Int32(number))
            let channel = try newChannel(connection)
            try connection.open(channel)
            member.state.withLock { $0.open(partition) }
            readings[channel] = Reading(member: member, names: names, partition: partition)
            try connection.consume(
                names.queue(of: member.group, partition: number), prefetch: settings.prefetch, on: channel)
        }

        private mutating func close(_ member: RabbitMQMember) throws(AMQPFailure) {
            member.state.withLock { $0.dropAll() }
            let own = readings.filter { $0.value.member === member }.map(\.key)
            let present = presences.filter { $0.value.member === member }.map(\.key)
            unheard.removeAll { $0.member === member }
            for channel in own { readings[channel] = nil }
            for channel in present { presences[channel] = nil }
            for channel in (own + present).sorted() {
                do throws(AMQPFailure) { try connection?.close(channel) } catch  where error.isOfChannel { continue }
            }
        }

        // MARK: Messages

        private mutating func receive() throws(AMQPFailure) {
            guard let connection else { return }
            var woken: [RabbitMQMember] = []
            defer { for member in woken { member.notify() } }
            for _ in 0..<1000 {
                guard let event = try connection.next() else { return }
                switch event {
                case .delivery(let channel, let tag, let message):
                    // What was on its way when the channel was closed goes to others.
                    guard let reading = readings[channel] else { continue }
                    take(message, tag, reading)
                    readings[channel]?.line.received(tag)
                    if !reading.isActive {
                        readings[channel]?.isActive = true
                        changed(reading, .assigned)
                    }
                    if !woken.contains(where: { $0 === reading.member }) { woken.append(reading.member) }
                case .cancelled(let channel): try reopen(channel, "cancelled", "A queue was deleted.")
                case .channelClosed(let channel, let failure): try reopen(channel, failure.code, failure.text)
                case .confirmed, .returned: continue
                }
            }
        }

        private func take(_ message: AMQPMessage, _ tag: UInt64, _ reading: Reading) {
            let content = message.content(from: reading.names.topic)
            var key: PartitionKey?
            if case .envelope(let envelope) = content { key = envelope.attributes.partitionKey }
            let item = PartitionLanes.Message(
                offset: Int64(bitPattern: tag), key: key, content: content, byteCount: message.byteCount)
            reading.member.state.withLock { $0.received(item, of: reading.partition) }
        }

        /// Reads a queue again whose channel is gone; one that members are counted by when queues are shared out next.
        private mutating func reopen(_ channel: UInt16, _ code: String, _ text: String) throws(AMQPFailure) {
            if let presence = presences.removeValue(forKey: channel) {
                trouble(code, text, presence.member.group)
                unheard.append(presence)
                do throws(AMQPFailure) { try connection?.close(channel) } catch  where error.isOfChannel {}
                return
            }
            guard let reading = readings.removeValue(forKey: channel) else { return }
            trouble(code, text, reading.member.group)
            reading.member.state.withLock { $0.drop(reading.partition) }
            changed(reading, .lost)
            guard let connection else { return }
            do throws(AMQPFailure) {
                if connection.isOpen(channel) { try connection.close(channel) }
                try connection.open(Self.topology)
                try RabbitMQTopology.declare(reading.names, settings.topics, on: Self.topology, connection)
                try RabbitMQTopology.declare(
                    reading.member.group, of: reading.names, settings.topics, on: Self.topology, connection)
                try open(Int(reading.partition.number), of: reading.names, reading.member)
            } catch  where error.isOfChannel {
                reading.member.fail(with: error.error(of: "The group '\(reading.member.group)'"))
            }
        }

        /// Tells the broker what was settled.
        private mutating func tell() throws(AMQPFailure) {
            guard let connection else { return }
            for member in members {
                let all = member.state.withLock { $0.takeSettled() }
                for (partition, settled) in all {
                    guard
                        let channel = readings.first(where: {
                            $0.value.member === member && $0.value.partition == partition
                        })?.key
                    else { continue }
                    let words = readings[channel]?.line.settle(
                        acknowledged: settled.acknowledged, rejected: settled.rejected)
                    for word in words ?? [] { try connection.tell(word, on: channel) }
                }
            }
        }

        // MARK: Sharing

        /// Lets other members have some queues, if this one has more than its share.
        ///
        /// The broker gives a queue to whoever came to it first, and so the first member would have all. One that gives a queue up
        /// comes to it again as the last.
        private mutating func balance() throws(AMQPFailure) {
            guard let connection, now >= nextBalance else { return }
            nextBalance = now + Self.balanceTime
            for presence in unheard.take() {
                do throws(AMQPFailure) { try announce(presence) } catch  where error.isOfChannel {
                    trouble(error.code, error.text, presence.member.group)
                    unheard.append(presence)
                }
            }
            for member in members {
                for names in member.topics {
                    do throws(AMQPFailure) { try balance(member, names, connection) } catch  where error.isOfChannel {
                        // It keeps what it has until they can be counted.
                        trouble(error.code, error.text, member.group)
                    }
                }
            }
        }

        private mutating func balance(
            _ member: RabbitMQMember, _ names: RabbitMQNames, _ connection: AMQPConnection
        ) throws(AMQPFailure) {
            let active = member.state.withLock { $0.active }.filter { $0.topic == names.topic }
            guard active.count > 1 else { return }
            try connection.open(Self.topology)
            let count = try RabbitMQTopology.countMembers(
                of: member.group, in: names, on: Self.topology, connection)
            let surplus = FairShare.surplus(of: active, partitions: names.partitions, members: count)
            member.state.withLock { state in for partition in surplus { state.leave(partition) } }
            let deadline = now + settings.handoverTime
            for (channel, reading) in readings
            where reading.member === member && surplus.contains(reading.partition) {
                readings[channel]?.deadline = deadline
            }
        }

        /// Gives queues up whose messages in hand are settled, or have been waited for long enough.
        private mutating func giveAway() throws(AMQPFailure) {
            guard let connection else { return }
            for (channel, reading) in readings {
                guard let deadline = reading.deadline,
                    now >= deadline || reading.member.state.withLock({ $0.isIdle(reading.partition) })
                else { continue }
                try tell()
                reading.member.state.withLock { $0.drop(reading.partition) }
                readings[channel] = nil
                try connection.close(channel)
                changed(reading, .revoked)
                try open(Int(reading.partition.number), of: reading.names, reading.member)
            }
        }
    }

    extension Array {
        /// Takes all elements out.
        fileprivate mutating func take() -> [Element] {
            defer { self = [] }
            return self
        }
    }
#endif
