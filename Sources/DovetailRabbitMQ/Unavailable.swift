// SPDX-License-Identifier: Apache-2.0

#if !RabbitMQ
    /// A transport over RabbitMQ; needs the trait `RabbitMQ` of this package.
    @available(
        *, unavailable,
        message:
            "Turn on the trait RabbitMQ: .package(url: …, traits: [\"RabbitMQ\"]), or 'swift build --traits RabbitMQ'. It needs librabbitmq."
    )
    public struct RabbitMQTransport: Sendable {}

    /// One member of a group that reads topics of a `RabbitMQTransport`; needs the trait `RabbitMQ` of this package.
    @available(
        *, unavailable,
        message:
            "Turn on the trait RabbitMQ: .package(url: …, traits: [\"RabbitMQ\"]), or 'swift build --traits RabbitMQ'. It needs librabbitmq."
    )
    public struct RabbitMQSubscription: Sendable {}
#endif
