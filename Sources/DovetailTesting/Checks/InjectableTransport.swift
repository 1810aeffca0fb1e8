// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A transport into which a test can put bytes that are no message, as a program that does not know the form would.
public protocol InjectableTransport: Transport {
    /// Puts bytes into a topic.
    ///
    /// - Parameters:
    ///   - bytes: The bytes.
    ///   - headers: What travels beside them.
    ///   - topic: The topic.
    /// - Throws: Whatever keeps it from doing so.
    func inject(_ bytes: Bytes, headers: Headers, into topic: Topic) async throws
}

extension InMemoryTransport: InjectableTransport {}
