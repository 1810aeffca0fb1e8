// SPDX-License-Identifier: Apache-2.0

/// What became of one envelope that was published.
public enum PublishResult: Sendable {
    /// The transport has it.
    case published

    /// The transport did not say that it has it; it may have it all the same.
    case failed(TransportError)

    /// The error, if it failed.
    public var error: TransportError? {
        if case .failed(let error) = self { error } else { nil }
    }
}
