// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

extension World {
    /// Publishes a message on the bus, as often as asked for and under one identity.
    ///
    /// The message gets through whatever goes wrong: a publish that fails is tried again.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - times: How often.
    ///   - options: What to set on its envelope.
    /// - Throws: `MessageError` if it has no valid form; `TransportError` if the bus does not take it.
    public func deliver<M: Message>(
        _ message: M, times: Int = 1, options: PublishOptions = PublishOptions()
    ) async throws {
        let factory = EnvelopeFactory(source: "/test", runtime: runtime)
        try await deliver(try await factory.envelope(for: message, options: options), times: times)
    }

    /// Publishes an envelope on the bus exactly as it is, as often as asked for.
    ///
    /// - Parameters:
    ///   - envelope: The envelope.
    ///   - times: How often.
    /// - Throws: `TransportError` if the bus does not take it.
    public func deliver(_ envelope: Envelope<Bytes>, times: Int = 1) async throws {
        for _ in 0..<times {
            var triesLeft = 1000
            while let error = try await bus.publish([envelope]).first?.error {
                triesLeft -= 1
                guard triesLeft > 0, error.code.isTransient else { throw error }
            }
        }
    }
}
