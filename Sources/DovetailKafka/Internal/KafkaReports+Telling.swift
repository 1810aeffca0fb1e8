// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import DovetailCore

    extension KafkaReports.Report {
        /// Tells an instrument of what is for its ears; does nothing about the partitions of a group.
        func tell(_ instrument: (any Instrument)?, group: ConsumerGroup?) {
            guard let instrument else { return }
            switch self {
            case .trouble(let code, let text):
                instrument.record(
                    KafkaTroubled(group: group, code: String(cString: rd_kafka_err2name(code)), message: text))
            case .throttled(let broker, let time):
                instrument.record(KafkaThrottled(group: group, broker: broker, time: time))
            case .measured(let measurement): instrument.record(KafkaMeasured(group: group, measurement))
            case .assigned, .revoked, .rebalanceFailed: break
            }
        }
    }
#endif
