// SPDX-License-Identifier: Apache-2.0

#if Kafka
    public import DovetailCore

    /// One member of a group that reads topics of a ``KafkaTransport``.
    ///
    /// What it has in hand goes to other members when it is closed, or when the last reference to it is gone.
    public final class KafkaSubscription: TransportSubscription {
        private let member: KafkaMember

        init(_ member: KafkaMember) {
            self.member = member
        }

        deinit {
            member.stop()
        }

        /// Waits for messages.
        ///
        /// Of a partition, messages come in their order, but one that was given back comes when it is due, and holds up later
        /// ones of its key and no others.
        ///
        /// - Parameter limit: How many deliveries the caller has room for, 1 or more.
        /// - Returns: At least one delivery; none only after ``close()``.
        /// - Throws: ``TransportError`` if Kafka does not let the member read; `CancellationError` if the task is cancelled,
        ///   and then nothing was handed out. A broker that cannot be reached is waited for.
        public func next(atMost limit: Int) async throws -> [Delivery] {
            try await member.next(atMost: max(1, limit))
        }

        /// Says what became of deliveries; does nothing about those that are no longer this member's.
        ///
        /// Returns at once. What is acknowledged or rejected is committed soon, see ``KafkaTransport``, and before the
        /// partition is given up.
        ///
        /// - Parameter settlements: The deliveries with what became of them.
        /// - Throws: Nothing by itself.
        public func settle(_ settlements: [Settlement]) async throws {
            member.settle(settlements)
        }

        /// Leaves the group in order: commits what was settled, and lets other members have the rest at once.
        ///
        /// One with an instance, see ``KafkaTransport``, keeps its partitions for as long as the group waits for it to come back.
        /// Does nothing if called again.
        public func close() async {
            member.stop()
            await member.waitForEnd()
        }

        /// Ends without a word to the group, as a process that is killed does; for tests.
        func abandon() async {
            member.stop(abandoning: true)
            await member.waitForEnd()
        }
    }
#endif
