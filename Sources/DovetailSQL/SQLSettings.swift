// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// How the library keeps its tables in a database that speaks SQL.
public struct SQLSettings: Sendable {
    /// What the names of the library's tables begin with: a letter or underscore, then letters, digits and underscores; 40 at most.
    public var prefix: String

    /// The service that these tables belong to; `nil` if it does not matter.
    ///
    /// The first service that names itself becomes their owner. Another one that opens the same tables is refused with
    /// `foreignSchema`: services that share tables can no longer be changed one at a time. Give each its own prefix, or better
    /// its own database.
    public var service: String?

    /// The clock by which leases, delays and retentions are measured; the database's own if `nil`.
    ///
    /// Leave it to the database wherever more than one program uses the tables, since their clocks differ. Give a runtime in tests
    /// that own time.
    public var runtime: Runtime?

    /// Where the outbox writes messages instead of its own table; `nil` for the table.
    package var outboxElsewhere: SQLOutboxElsewhere?

    /// Creates settings.
    ///
    /// - Parameters:
    ///   - prefix: What the names of the library's tables begin with.
    ///   - service: The service that these tables belong to.
    ///   - runtime: The clock by which leases, delays and retentions are measured; the database's own if `nil`.
    public init(prefix: String = "dovetail_", service: String? = nil, runtime: Runtime? = nil) {
        self.prefix = prefix
        self.service = service
        self.runtime = runtime
    }
}

/// A place for the messages of an outbox that is not its own table.
package struct SQLOutboxElsewhere: Sendable {
    /// Whether messages are lost there unless a relay was prepared before.
    let needsRelay: Bool

    /// What writes a message.
    let statements: @Sendable (Envelope<Bytes>) throws -> [SQL]

    package init(needsRelay: Bool, statements: @escaping @Sendable (Envelope<Bytes>) throws -> [SQL]) {
        self.needsRelay = needsRelay
        self.statements = statements
    }
}
