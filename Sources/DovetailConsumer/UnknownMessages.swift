// SPDX-License-Identifier: Apache-2.0

/// What a ``Consumer`` does with a message of a type that no route takes.
///
/// A topic may carry types that are of no interest, so they are ignored unless said otherwise. A type that a route takes, in a
/// major version that none takes, is another matter: somebody will miss it, so it goes to the dead letters as unroutable
/// under ``ignore`` and ``deadLetter`` alike.
public struct UnknownMessages: Sendable, Hashable {
    private enum Base: Sendable { case ignore, deadLetter, fail }
    private let base: Base

    /// Acknowledges the message; it is counted as skipped.
    public static let ignore = UnknownMessages(base: .ignore)

    /// Moves the message to the dead letters as unroutable.
    public static let deadLetter = UnknownMessages(base: .deadLetter)

    /// Ends the consumer with ``ConsumerError/Code/unknownMessage`` and leaves the message where it is.
    public static let fail = UnknownMessages(base: .fail)
}
