// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    public import DovetailCore

    /// Notifications between programs do not come through now, so relays find by polling what other programs append.
    ///
    /// They are tried for again by themselves.
    public struct PostgresNotificationsFailed: InstrumentEvent {
        /// `dovetail.postgresql.notifications_failed`.
        public static let name = "dovetail.postgresql.notifications_failed"

        /// The channel.
        public let channel: String

        /// What kind of failure it is.
        public let code: DatabaseError.Code

        /// What went wrong and what to do about it.
        public let message: String

        /// Creates the event.
        ///
        /// - Parameters:
        ///   - channel: The channel.
        ///   - code: What kind of failure it is.
        ///   - message: What went wrong and what to do about it.
        public init(channel: String, code: DatabaseError.Code, message: String) {
            self.channel = channel
            self.code = code
            self.message = message
        }

        /// The attributes with few values.
        ///
        /// - Parameter visit: Called with the name and the value of each.
        public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
            visit("error.type", code.description)
        }

        /// The attributes with many values.
        ///
        /// - Parameter visit: Called with the name and the value of each.
        public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
            visit("db.postgresql.channel", channel)
            visit("exception.message", message)
        }
    }
#endif
