// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation

/// What a run has come to, as far as it must be the same for every right run.
struct EndState: Sendable {
    /// What something is called in a difference.
    struct Subject: Hashable, Comparable, Sendable {
        enum Kind: Int, Sendable {
            case row, published, deadLetter, rejected, inFlight
        }

        let kind: Kind
        /// The database; empty for what is on the bus.
        let place: String
        let name: String

        static func < (left: Subject, right: Subject) -> Bool {
            (left.kind.rawValue, left.place, left.name) < (right.kind.rawValue, right.place, right.name)
        }
    }

    /// The values under each name; more than one where names differ only by identifiers.
    private(set) var values: [Subject: [[String: String]]] = [:]

    /// Nothing at all.
    init() {}

    /// Whether nothing was written and nothing published.
    var isEmpty: Bool { !values.keys.contains { $0.kind == .row || $0.kind == .published } }

    mutating func add(_ kind: Subject.Kind, _ name: String, in place: String = "", _ fields: [String: String]) {
        values[Subject(kind: kind, place: place, name: name), default: []].append(fields)
    }

    /// The same without what is of one kind.
    func without(_ kind: Subject.Kind) -> EndState {
        var copy = self
        copy.values = values.filter { $0.key.kind != kind }
        return copy
    }

    // MARK: Reading

    /// Reads what a world has come to.
    ///
    /// - Parameters:
    ///   - world: The world, at rest.
    ///   - published: The messages that services published, each once.
    ///   - ignored: What is left out, as ``ServiceScenario/ignoring(_:)`` has it.
    /// - Throws: ``DatabaseError``.
    init(of world: World, published: [Envelope<Bytes>], ignoring ignored: Set<String>) async throws {
        for name in world.databaseNames {
            let database = world.database(name)
            for (table, key, bytes) in database.tableRows where !ignored.contains(table) {
                let fields = Self.fields(of: bytes, named: table, ignoring: ignored)
                add(.row, "\(table)/\(RowText.normalized(key))", in: name, fields)
            }
            for letter in try await DeadLetterQueue(in: database).list(limit: .max) {
                let name =
                    "\(letter.envelope?.attributes.type.rawValue ?? "what is no message") for '\(letter.consumer)'"
                let fields = ["": "\(letter.reason), \(RowText.normalized(letter.failure.message))"]
                // A repeat of what cannot be handled may have a letter of its own.
                let subject = Subject(kind: .deadLetter, place: "", name: name)
                if values[subject]?.contains(fields) != true { add(.deadLetter, name, fields) }
            }
        }
        for envelope in published {
            let type = envelope.attributes.type.rawValue
            guard !ignored.contains(type) else { continue }
            add(.published, type, Self.fields(of: envelope.payload, named: type, ignoring: ignored))
        }
        for message in world.bus.rejected {
            let type = message.envelope?.attributes.type.rawValue ?? "what is no message"
            add(.rejected, "\(type) by '\(message.group)'", ["": message.reason])
        }
        for work in world.inFlight { add(.inFlight, work, [:]) }
    }

    private static func fields(
        of bytes: Bytes, named name: String, ignoring ignored: Set<String>
    ) -> [String: String] {
        let fields = RowText.fields(of: bytes)
        let paths = ignored.compactMap { $0.hasPrefix("\(name).") ? $0.dropFirst(name.count + 1) : nil }
        guard !paths.isEmpty else { return fields }
        return fields.filter { field in
            !paths.contains { path in
                field.key == path || field.key.hasPrefix("\(path).") || field.key.hasPrefix("\(path)[")
            }
        }
    }

    // MARK: Comparing

    /// What is otherwise than expected, a line each: `ledger/42: 300 → 600`.
    static func differences(from expected: EndState, to actual: EndState) -> [String] {
        let subjects = Set(expected.values.keys).union(actual.values.keys).sorted()
        let isPlaceNamed = Set(subjects.map(\.place).filter { !$0.isEmpty }).count > 1
        return subjects.flatMap { subject in
            lines(
                of: subject, isPlaceNamed: isPlaceNamed, from: expected.values[subject] ?? [],
                to: actual.values[subject] ?? [])
        }
    }

    private static func lines(
        of subject: Subject, isPlaceNamed: Bool, from expected: [[String: String]], to actual: [[String: String]]
    ) -> [String] {
        var (missing, added) = (expected, [[String: String]]())
        for value in actual {
            if let index = missing.firstIndex(of: value) { missing.remove(at: index) } else { added.append(value) }
        }
        guard !missing.isEmpty || !added.isEmpty else { return [] }
        let name = self.name(of: subject, isPlaceNamed: isPlaceNamed)
        if subject.kind == .inFlight { return [added.isEmpty ? "no longer \(name)" : name] }
        if missing.count == 1, added.count == 1 { return fieldLines(name, from: missing[0], to: added[0]) }
        let one = subject.kind == .row ? "row" : "time"
        func count(_ values: [[String: String]]) -> String {
            switch values.count {
            case 0: subject.kind == .row ? "no row" : "never"
            case 1: subject.kind == .row ? "1 row" : "once"
            default: "\(values.count) \(one)s"
            }
        }
        // A row of its own is told by what is in it; several of one name are told by how many there are.
        if expected.isEmpty, added.count == 1 { return ["\(name): \(count([])) → \(RowText.line(added[0]))"] }
        if actual.isEmpty, missing.count == 1 { return ["\(name): \(RowText.line(missing[0])) → \(count([]))"] }
        return ["\(name): \(count(expected)) → \(count(actual))"]
            + missing.prefix(3).map { "    no longer \(RowText.line($0))" }
            + added.prefix(3).map { "    new: \(RowText.line($0))" }
    }

    private static func name(of subject: Subject, isPlaceNamed: Bool) -> String {
        switch subject.kind {
        case .row: isPlaceNamed ? "\(subject.name) in '\(subject.place)'" : subject.name
        case .published: "published \(subject.name)"
        case .deadLetter: "dead letter \(subject.name)"
        case .rejected: "rejected \(subject.name)"
        case .inFlight: "still in flight: \(subject.name)"
        }
    }

    private static func fieldLines(
        _ name: String, from expected: [String: String], to actual: [String: String]
    ) -> [String] {
        Set(expected.keys).union(actual.keys).sorted().compactMap { path in
            let (old, new) = (expected[path], actual[path])
            guard old != new else { return nil }
            let field = path.isEmpty ? name : "\(name) \(path)"
            return "\(field): \(RowText.short(old ?? "nothing")) → \(RowText.short(new ?? "nothing"))"
        }
    }
}
