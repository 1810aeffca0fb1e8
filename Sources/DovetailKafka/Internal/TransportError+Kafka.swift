// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import DovetailCore

    extension TransportError {
        /// What a code of librdkafka means for whoever called.
        ///
        /// - Parameters:
        ///   - code: The code.
        ///   - subject: What it is about, such as `The message '7'`.
        ///   - trouble: The newest trouble of the client, which explains why nothing was heard.
        init(_ code: rd_kafka_resp_err_t, of subject: String, trouble: (rd_kafka_resp_err_t, String)? = nil) {
            let name = String(cString: rd_kafka_err2name(code))
            let text = String(cString: rd_kafka_err2str(code))
            switch code {
            case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
                // Not a refusal, also if the trouble is one: it may be that of another broker, or long over.
                let reason = trouble.map { " The newest trouble was: \($0.1)." } ?? ""
                self.init(
                    .timedOut,
                    "\(subject): Kafka did not answer in time, and may have done it all the same.\(reason) Try again.")
            case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
                self.init(
                    .messageTooLarge,
                    "\(subject): larger than the broker or the topic takes. Put the payload into a claim check, or raise "
                        + "max.message.bytes of the topic."
                )
            case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
                RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
                self.init(
                    .unknownTopic,
                    "\(subject): there is no such topic (\(name)). Create it, or have the transport create topics on demand."
                )
            case RD_KAFKA_RESP_ERR_INVALID_RECORD:
                self.init(
                    .invalidMessage,
                    "\(subject): the broker does not take it, such as one without a key in a compacted topic. Correct it."
                )
            case RD_KAFKA_RESP_ERR__PURGE_QUEUE, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, RD_KAFKA_RESP_ERR__DESTROY:
                self.init(
                    .closed, "\(subject): the transport was closed meanwhile. Publish it again with another one.")
            case _ where Self.isRefusal(code):
                self.init(
                    .refused,
                    "\(subject): \(text) (\(name)). Correct the credentials in the options, or have the access granted."
                )
            default:
                self.init(.unavailable, "\(subject): \(text) (\(name)). Try again.")
            }
        }

        /// What a delivery report says of a message that was not published.
        ///
        /// The last attempt may have been refused after one that was not answered. Then the message may be there, and
        /// its error must not have a code of those by which others know that it is not.
        ///
        /// - Parameters:
        ///   - code: The code of the last attempt.
        ///   - subject: What it is about.
        ///   - status: Whether the message may be there.
        ///   - trouble: The newest trouble of the client.
        /// - Returns: The error.
        static func unpublished(
            _ code: rd_kafka_resp_err_t, of subject: String, _ status: rd_kafka_msg_status_t,
            trouble: (rd_kafka_resp_err_t, String)?
        ) -> TransportError {
            let error = TransportError(code, of: subject, trouble: trouble)
            let isCertain = status == RD_KAFKA_MSG_STATUS_NOT_PERSISTED
            if isCertain || error.code.isTransient || error.code == .closed { return error }
            return TransportError(
                .unavailable,
                "\(subject): the last attempt failed, and one before may have stored it. Try again to find out.",
                cause: error)
        }

        /// Whether trying again cannot help until someone changes something.
        static func isRefusal(_ code: rd_kafka_resp_err_t) -> Bool {
            switch code {
            case RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
                RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
                RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
                RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                RD_KAFKA_RESP_ERR__SSL:
                true
            default: false
            }
        }
    }
#endif
