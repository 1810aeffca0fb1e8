// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Foundation

/// What the commands do.
struct Desk<DB: DeadLetterDatabase & TableDatabase, Bus: Transport> {
    let letters: DeadLetterQueue<DB>
    let bus: Bus
    let options: Options
    let isTerminal: Bool

    private var runtime: Runtime { .current }
    private var now: Timestamp { runtime.time.now() }

    /// - Returns: Whether all that was asked for was done.
    func run(_ command: Options.Command) async throws -> Bool {
        switch command {
        case .list: try await list()
        case .groups: try await groups()
        case .show: try await show(options.letters[0])
        case .redrive: return try await redrive()
        case .jobs: try await jobs()
        case .discard: return try await discard()
        case .export: try await export()
        case .demo: try await demo()
        }
        return true
    }

    // MARK: Looking

    private func list() async throws {
        let now = now
        let page = try await letters.find(options.filter(at: now), after: options.after, limit: options.limit)
        let next = page.count == options.limit ? page.last?.place : nil
        if options.json {
            return try write(LetterPage(letters: page.map { LetterLine($0) }, next: next))
        }
        guard !page.isEmpty else { return print("No dead letters.") }
        var table = TextTable(
            ("LETTER", 36), ("AGE", 6), ("REASON", 20), ("TYPE", 28), ("CONSUMER", 16), ("TENANT", 12), ("FAILURE", 50))
        for letter in page {
            table.add(
                letter.id, letter.time.age(at: now), letter.reason.rawValue,
                letter.envelope?.attributes.type.rawValue ?? "(no message)", letter.consumer,
                letter.tenant?.rawValue ?? "",
                letter.failure.message)
        }
        print(table.text)
        if let next { print("\nMore: --after \(next)") }
    }

    private func groups() async throws {
        let now = now
        let groups = try await letters.groups(in: options.queue, tier: options.tier)
        if options.json {
            let total = groups.reduce(0) { $0 + $1.count }
            return try write(GroupPage(groups: groups.map { GroupLine($0) }, total: total))
        }
        guard !groups.isEmpty else { return print("No dead letters.") }
        var table = TextTable(
            ("FINGERPRINT", 12), ("COUNT", 9), ("QUEUE", 12), ("TIER", 10), ("REASON", 20), ("TYPE", 28),
            ("CONSUMER", 16),
            ("ERROR", 36), ("LAST", 5))
        for group in groups {
            let error = [group.failure.type, group.failure.place].filter { !$0.isEmpty }.joined(separator: ", ")
            table.add(
                group.id.fingerprint.rawValue, group.count.grouped, group.id.queue.rawValue, group.id.tier.rawValue,
                group.reason.rawValue, group.type?.rawValue ?? "(no message)", group.consumer, error,
                group.last.age(at: now))
        }
        print(table.text)
        let counts = try await letters.counts()
        print("\n\(counts.total.grouped) letters in \(groups.count.grouped) groups.")
    }

    private func show(_ id: String) async throws {
        guard let letter = try await letters.letter(id) else {
            throw DeadLetterError(
                .noSuchLetter, "There is no dead letter '\(id)'. It may have been redriven or discarded.")
        }
        let message = letter.envelope?.attributes
        let history = try await message.asyncMap { try await letters.history(of: $0.id) } ?? []
        let advice = try await letters.group(letter.fingerprint).map { TableAdvisor().advise(on: $0) }
        if options.json {
            return try write(
                LetterPages(
                    letter: LetterLine(letter), history: history.map { RecordLine($0) },
                    diagnosis: advice?.diagnosis ?? "",
                    playbook: advice?.playbook ?? []))
        }
        let lines: [(String, String?)] = [
            ("Letter", letter.id), ("Queue", "\(letter.queue), tier \(letter.tier)"),
            ("Reason", letter.reason.rawValue),
            ("Fingerprint", letter.fingerprint.rawValue),
            ("Given up", "\(letter.time.short), by \(letter.consumer), after \(letter.attempts) attempts"),
            ("First", letter.redrives > 0 ? "\(letter.firstTime.short), redriven \(letter.redrives) times" : nil),
            ("Topic", letter.position.isEmpty ? letter.topic.rawValue : "\(letter.topic), at \(letter.position)"),
            ("Message", message.map { "\($0.id) of \($0.type) \($0.version), from \($0.source)" }),
            ("Key", message?.partitionKey?.rawValue), ("Tenant", message?.tenant?.rawValue),
            ("Conversation", message?.correlationID?.rawValue), ("Caused by", message?.causationID?.rawValue),
            ("Error", [letter.failure.type, letter.failure.place].filter { !$0.isEmpty }.joined(separator: ", ")),
        ]
        for case (let name, let value?) in lines {
            print(name.padding(toLength: 14, withPad: " ", startingAt: 0) + value.plain)
        }
        print("\n" + letter.failure.message.split(separator: "\n").map { String($0).plain }.joined(separator: "\n"))
        print("\nPayload, \(letter.payload.count) bytes:\n" + (letter.payload.text?.plain ?? letter.payload.base64))
        for record in history {
            print(
                "\n\(record.removal.time.short)  \(record.removal.exit), \(record.reason): \(record.removal.note)".plain
            )
        }
        guard let advice else { return }
        print("\n\(advice.diagnosis.plain)\n")
        for (number, step) in advice.playbook.enumerated() { print("  \(number + 1). \(step)") }
    }

    private func export() async throws {
        var place = options.after
        while true {
            let page = try await letters.find(options.filter(at: now), after: place, limit: 500)
            for letter in page { try write(LetterLine(letter)) }
            guard page.count == 500, let last = page.last?.place else { return }
            place = last
        }
    }

    // MARK: Changing

    private func discard() async throws -> Bool {
        let filter = options.filter(at: now)
        let count = try await letters.count(filter)
        if count == 0 {
            if options.json { try write(["discarded": 0]) } else { print("No dead letters.") }
            return false
        }
        if !options.yes {
            // Asked for on the other channel, so that the answer can be told from what is printed for a program.
            FileHandle.standardError.write(
                Data("Discard \(count.grouped) letters? Their messages cannot be sent again. [y/N] ".utf8))
            guard ["y", "yes"].contains(readLine()?.lowercased() ?? "") else {
                FileHandle.standardError.write(Data("Nothing was discarded.\n".utf8))
                return false
            }
        }
        let discarded = try await letters.discard(filter, note: options.note)
        if options.json {
            try write(["discarded": discarded])
        } else {
            print("\(discarded.grouped) letters discarded.")
        }
        return true
    }

    private func demo() async throws {
        try await letters.capture(Demo(now: now, runtime: runtime).letters(options.count))
        let count = try await letters.count()
        if options.json { return try write(["letters": count]) }
        print(
            """
            \(options.database) has \(count.grouped) dead letters now. Try:
              DeadLetterDesk groups --database \(options.database)
              DeadLetterDesk list --reason timeout-or-network --database \(options.database)
              DeadLetterDesk redrive --reason timeout-or-network --dry-run --database \(options.database)
            """)
    }

    func write(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(value), as: UTF8.self))
    }
}

extension Optional {
    fileprivate func asyncMap<Result>(_ body: (Wrapped) async throws -> Result) async rethrows -> Result? {
        if let self { try await body(self) } else { nil }
    }
}
