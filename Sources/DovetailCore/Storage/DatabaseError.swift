// SPDX-License-Identifier: Apache-2.0

/// A database that could not do what it was asked.
public struct DatabaseError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case transactionEnded, nestedTransaction, readOnlyTransaction, serializationFailure, deadlock
            case versionConflict, undecodableRow, unencodableRow, leaseLost, unavailable, unsupported,
                foreignTransaction
            case locked, full, readOnlyDatabase, corrupt, notADatabase, cannotOpen, closed
            case constraintViolated, invalidStatement, incompatibleSchema, foreignSchema, logLost
        }
        private let base: Base

        /// A transaction was used after its body had ended.
        public static let transactionEnded = Code(base: .transactionEnded)

        /// A transaction was begun inside another of the same database.
        public static let nestedTransaction = Code(base: .nestedTransaction)

        /// A transaction was used with a part of another database.
        public static let foreignTransaction = Code(base: .foreignTransaction)

        /// A transaction that only reads was asked to write.
        public static let readOnlyTransaction = Code(base: .readOnlyTransaction)

        /// The commit was refused because of what others did meanwhile; running the transaction again can succeed.
        public static let serializationFailure = Code(base: .serializationFailure)

        /// Two transactions waited for each other and this one was given up; running it again can succeed.
        public static let deadlock = Code(base: .deadlock)

        /// A row was not at the version that was expected.
        public static let versionConflict = Code(base: .versionConflict)

        /// A stored row is not what its table says.
        public static let undecodableRow = Code(base: .undecodableRow)

        /// A row could not be turned into bytes.
        public static let unencodableRow = Code(base: .unencodableRow)

        /// What was claimed has meanwhile been claimed by another; the late write was refused.
        public static let leaseLost = Code(base: .leaseLost)

        /// The database cannot be reached now.
        public static let unavailable = Code(base: .unavailable)

        /// The database does not have what was asked for.
        public static let unsupported = Code(base: .unsupported)

        /// Another program held a lock for longer than this one is willing to wait.
        public static let locked = Code(base: .locked)

        /// There is no room left where the database is kept.
        public static let full = Code(base: .full)

        /// The database, or the folder it is in, can be read but not written.
        public static let readOnlyDatabase = Code(base: .readOnlyDatabase)

        /// What is stored is damaged.
        public static let corrupt = Code(base: .corrupt)

        /// What was to be opened is something else than a database.
        public static let notADatabase = Code(base: .notADatabase)

        /// The database cannot be opened as things are, such as when its folder is missing.
        public static let cannotOpen = Code(base: .cannotOpen)

        /// The database was closed by this program.
        public static let closed = Code(base: .closed)

        /// A row breaks a rule of its table, such as that a value is unique.
        public static let constraintViolated = Code(base: .constraintViolated)

        /// A statement is not one that the database can run.
        public static let invalidStatement = Code(base: .invalidStatement)

        /// The library's tables were made by a release that this one does not know.
        public static let incompatibleSchema = Code(base: .incompatibleSchema)

        /// The library's tables belong to another service.
        public static let foreignSchema = Code(base: .foreignSchema)

        /// The database no longer has a part of its log from which messages were to be published.
        public static let logLost = Code(base: .logLost)

        /// Whether trying the same again can succeed.
        public var isTransient: Bool {
            switch base {
            case .serializationFailure, .deadlock, .unavailable, .locked, .full: true
            case .transactionEnded, .nestedTransaction, .readOnlyTransaction, .versionConflict, .undecodableRow,
                .unencodableRow, .leaseLost, .unsupported, .foreignTransaction, .readOnlyDatabase, .corrupt,
                .notADatabase, .cannotOpen, .closed, .constraintViolated, .invalidStatement, .incompatibleSchema,
                .foreignSchema, .logLost:
                false
            }
        }

        /// The name of the code.
        public var description: String { base.rawValue }
    }

    /// What kind of failure it is.
    public let code: Code

    /// What went wrong and what to do about it.
    public let message: String

    /// What led to it, if something did.
    public let cause: (any Error)?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: What kind of failure it is.
    ///   - message: What went wrong and what to do about it.
    ///   - cause: What led to it.
    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The code, the message and the cause in one line.
    public var description: String {
        cause.map { "\(code): \(message) (\($0))" } ?? "\(code): \(message)"
    }
}
