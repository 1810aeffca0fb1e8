// SPDX-License-Identifier: Apache-2.0

#if !Kafka
    /// A transport over Apache Kafka; needs the trait `Kafka` of this package.
    @available(
        *, unavailable,
        message:
            "Turn on the trait Kafka: .package(url: …, traits: [\"Kafka\"]), or 'swift build --traits Kafka'. It needs librdkafka."
    )
    public struct KafkaTransport: Sendable {}

    /// One member of a group that reads topics of a `KafkaTransport`; needs the trait `Kafka` of this package.
    @available(
        *, unavailable,
        message:
            "Turn on the trait Kafka: .package(url: …, traits: [\"Kafka\"]), or 'swift build --traits Kafka'. It needs librdkafka."
    )
    public struct KafkaSubscription: Sendable {}
#endif
