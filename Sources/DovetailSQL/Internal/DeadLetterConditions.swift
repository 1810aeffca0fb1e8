// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The conditions of a filter as pieces of a statement.
struct DeadLetterConditions {
    private(set) var all: [SQL] = []
    /// See ``SQLDialect/unindexed``.
    private let unindexed: String

    /// Conditions on letters.
    ///
    /// - Parameters:
    ///   - filter: The filter, without its letters and messages.
    ///   - dialect: The dialect.
    ///   - isTimeFirst: Whether letters are found by their time, if the filter has a beginning, or else by what they have in common.
    init(_ filter: DeadLetterFilter, in dialect: SQLDialect, byTime isTimeFirst: Bool) {
        unindexed = dialect.unindexed
        let isByTime = isTimeFirst && filter.since != nil
        add("queue", filter.queue?.rawValue, indexed: !isByTime)
        add("tier", filter.tier?.rawValue, indexed: false)
        add("reason", filter.reason?.rawValue, indexed: !isByTime)
        add("fingerprint", filter.fingerprint?.rawValue, indexed: !isByTime)
        add("message_type", filter.type?.rawValue, indexed: !isByTime)
        add("consumer", filter.consumer, indexed: !isByTime)
        add("tenant", filter.tenant?.rawValue, indexed: !isByTime)
        add("topic", filter.topic?.rawValue, indexed: false)
        let mark = isByTime ? "" : unindexed
        if let since = filter.since { all.append("\(raw: mark)given_up_us >= \(since.microsecondsSinceEpoch)") }
        if let before = filter.before { all.append("\(raw: mark)given_up_us < \(before.microsecondsSinceEpoch)") }
        if let text = filter.text {
            all.append(#"LOWER(failure_message) LIKE LOWER(\#(Self.pattern(text))) ESCAPE '\'"#)
        }
    }

    /// Conditions on groups; `nil` if a group does not know what the filter asks for.
    init?(onGroups filter: DeadLetterFilter, in dialect: SQLDialect) {
        unindexed = dialect.unindexed
        var known = DeadLetterFilter.all
        (known.queue, known.tier, known.reason) = (filter.queue, filter.tier, filter.reason)
        (known.fingerprint, known.type, known.consumer) = (filter.fingerprint, filter.type, filter.consumer)
        guard known == filter else { return nil }
        add("queue", filter.queue?.rawValue, indexed: true)
        add("tier", filter.tier?.rawValue, indexed: true)
        add("reason", filter.reason?.rawValue, indexed: false)
        add("fingerprint", filter.fingerprint?.rawValue, indexed: true)
        add("message_type", filter.type?.rawValue, indexed: false)
        add("consumer", filter.consumer, indexed: false)
    }

    /// The conditions behind `WHERE`; nothing if there are none.
    var clause: SQL {
        var sql: SQL = ""
        for (index, condition) in all.enumerated() {
            sql += index == 0 ? " WHERE " : " AND "
            sql += condition
        }
        return sql
    }

    mutating func add(_ condition: SQL) {
        all.append(condition)
    }

    private mutating func add(_ column: String, _ value: String?, indexed: Bool) {
        guard let value else { return }
        let condition: SQL = "\(raw: indexed ? "" : unindexed)\(raw: column) = \(value)"
        all.append(condition.storable)
    }

    private static func pattern(_ text: String) -> String {
        var escaped = "%"
        for character in text {
            if "%_\\".contains(character) { escaped.append("\\") }
            escaped.append(character)
        }
        return escaped + "%"
    }
}
