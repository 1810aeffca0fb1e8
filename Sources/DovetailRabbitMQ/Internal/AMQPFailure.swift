// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import CRabbitMQ
    import DovetailCore

    /// Why the broker or the library did not do what it was asked.
    struct AMQPFailure: Error, Sendable {
        enum Cause: Sendable, Hashable {
            /// The broker closed the channel, and with it all that goes over it.
            case channelClosed(code: Int, text: String)
            /// The broker closed the connection.
            case connectionClosed(code: Int, text: String)
            /// The connection is of no use any more.
            case library(status: Int32)
            /// As many channels are open as the broker and we agreed on; nothing was sent.
            case noChannel(most: Int)
        }

        let cause: Cause

        /// Whether the connection is as good as before, and at most the channel is gone.
        var isOfChannel: Bool {
            switch cause {
            case .channelClosed, .noChannel: true
            case .connectionClosed, .library: false
            }
        }

        /// Whether there is no such queue or exchange.
        var isNotFound: Bool { if case .channelClosed(404, _) = cause { true } else { false } }

        /// The name of what went wrong, for events.
        var code: String {
            switch cause {
            case .channelClosed(let code, _): "channel-\(code)"
            case .connectionClosed(let code, _): "connection-\(code)"
            case .library(let status): "library\(status)"
            case .noChannel: "no-channel"
            }
        }

        /// What went wrong, in the words of the broker or the library.
        var text: String {
            switch cause {
            case .channelClosed(_, let text), .connectionClosed(_, let text): text
            case .library(let status): String(cString: amqp_error_string2(status))
            case .noChannel(let most): "all \(most) channels of the connection are in use"
            }
        }

        /// What it means for whoever asked for the subject, such as `The message '7'`.
        func error(of subject: String) -> TransportError {
            switch cause {
            case .channelClosed(404, _):
                TransportError(
                    .unknownTopic,
                    "\(subject): \(text). Create it, or have the transport declare topics on demand.")
            case .channelClosed(403, _), .connectionClosed(403, _), .connectionClosed(530, _):
                TransportError(
                    .refused, "\(subject): \(text). Correct the address, or have the access granted.")
            case .channelClosed(406, _):
                TransportError(
                    .refused,
                    "\(subject): \(text). It was declared in another way before: use the same number of partitions everywhere, or "
                        + "remove what is there."
                )
            case .library(let status) where Self.isRefusal(status):
                TransportError(
                    .refused, "\(subject): \(text). Correct the address or the settings for TLS.")
            case .library(AMQP_STATUS_TIMEOUT.rawValue):
                TransportError(
                    .timedOut, "\(subject): RabbitMQ did not answer in time. Try again.")
            case .noChannel:
                TransportError(
                    .refused,
                    "\(subject): \(text), and each partition of a member takes one. Read fewer topics with one transport, "
                        + "or have the broker allow more (its setting 'channel_max')."
                )
            case .channelClosed, .connectionClosed, .library: passingError(of: subject)
            }
        }

        /// The same for what may be better another time, whatever went wrong.
        func passingError(of subject: String) -> TransportError {
            TransportError(.unavailable, "\(subject): \(text). Try again.")
        }

        private static func isRefusal(_ status: Int32) -> Bool {
            [
                AMQP_STATUS_SSL_ERROR.rawValue, AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED.rawValue,
                AMQP_STATUS_SSL_PEER_VERIFY_FAILED.rawValue, AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION.rawValue,
                AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD.rawValue, AMQP_STATUS_UNSUPPORTED.rawValue,
            ].contains(status)
        }
    }

    extension TransportError {
        static var noMoreFiles: TransportError {
            TransportError(
                .unavailable,
                "The system gives no more files to this process. Raise its limit of open files, or open fewer connections."
            )
        }
    }
#endif
