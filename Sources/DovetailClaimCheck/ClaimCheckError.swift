// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A blob that could not be kept, or that is not what its token says.
public struct ClaimCheckError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case missing, truncated, altered, tooLarge, unknownStore, duplicateStore, invalidToken, unsafeStore
            case unavailable, retentionTooShort, invalidName
        }
        private let base: Base

        /// The store has no blob under the key.
        public static let missing = Code(base: .missing)

        /// The blob is shorter than its token says.
        public static let truncated = Code(base: .truncated)

        /// The blob has other bytes than its token says.
        public static let altered = Code(base: .altered)

        /// The blob has more bytes than are taken into memory at once.
        public static let tooLarge = Code(base: .tooLarge)

        /// The token names a store that is not known here.
        public static let unknownStore = Code(base: .unknownStore)

        /// Two stores have the same name.
        public static let duplicateStore = Code(base: .duplicateStore)

        /// What should be a token has not the form of one.
        public static let invalidToken = Code(base: .invalidToken)

        /// The folder of a store cannot be trusted, such as one that others can write to.
        public static let unsafeStore = Code(base: .unsafeStore)

        /// The store cannot be reached now, or has no room.
        public static let unavailable = Code(base: .unavailable)

        /// Blobs would be swept while a message that names them may still come.
        public static let retentionTooShort = Code(base: .retentionTooShort)

        /// The name of a store is empty or has more than 200 bytes.
        public static let invalidName = Code(base: .invalidName)

        /// The name of the code.
        public var description: String { base.rawValue }
    }

    /// What kind of failure it is.
    public let code: Code

    /// What went wrong and what to do about it.
    public let message: String

    /// The token it is about, if it is about one.
    public let token: ClaimToken?

    /// What led to it, if something did.
    public let cause: (any Error)?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: What kind of failure it is.
    ///   - message: What went wrong and what to do about it.
    ///   - token: The token it is about.
    ///   - cause: What led to it.
    public init(_ code: Code, _ message: String, token: ClaimToken? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.token = token
        self.cause = cause
    }

    /// The code, the message and the cause in one line.
    public var description: String {
        cause.map { "\(code): \(message) (\($0))" } ?? "\(code): \(message)"
    }
}

extension ClaimCheckError: ClassifiedError {
    /// Waiting helps while the store does not answer, and may help while a blob is missing: a store can lag behind the
    /// transport, and a volume may not be there yet.
    ///
    /// What is there and wrong stays wrong.
    public var failureClass: FailureClass {
        [.unavailable, .missing].contains(code) ? .transient : .permanent
    }

    /// The claim check, unless it is a matter of size or of reaching the store.
    public var deadLetterReason: DeadLetterReason? {
        switch code {
        case .tooLarge: .tooLarge
        case .unavailable: .timeoutOrNetwork
        default: .claimCheck
        }
    }
}

extension DeadLetterReason {
    /// The payload that a message left in a store is missing, short or altered, or cannot be looked for.
    public static let claimCheck: DeadLetterReason = "claim-check"
}
