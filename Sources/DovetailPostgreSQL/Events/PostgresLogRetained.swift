// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    public import DovetailCore

    /// So much log does the server keep for a ``PostgresLogRelay``.
    ///
    /// It grows while nothing is published, and also while another transaction stays open for long.
    public struct PostgresLogRetained: InstrumentEvent {
        /// `dovetail.postgresql.log_retained`.
        public static let name = "dovetail.postgresql.log_retained"

        /// The replication slot.
        public let slot: String

        /// How many bytes.
        public let bytes: Int64

        /// Whether they are more than ``PostgresLogRelaySettings/alarmBytes``.
        public let isAlarm: Bool

        /// Creates the event.
        ///
        /// - Parameters:
        ///   - slot: The replication slot.
        ///   - bytes: How many bytes.
        ///   - isAlarm: Whether they are too many.
        public init(slot: String, bytes: Int64, isAlarm: Bool) {
            self.slot = slot
            self.bytes = bytes
            self.isAlarm = isAlarm
        }

        /// The attributes with few values.
        ///
        /// - Parameter visit: Called with the name and the value of each.
        public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
            visit("dovetail.postgresql.slot", slot)
            visit("dovetail.alarm", isAlarm ? "true" : "false")
        }

        /// The attributes with many values.
        ///
        /// - Parameter visit: Called with the name and the value of each.
        public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
            visit("dovetail.postgresql.log_bytes", String(bytes))
        }
    }
#endif
