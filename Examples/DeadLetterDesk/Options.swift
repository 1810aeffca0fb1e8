// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport

/// What the command line asks for.
struct Options {
    enum Command: String, CaseIterable {
        case list, groups, show, redrive, jobs, discard, export, demo
    }

    /// `nil` to print the usage.
    var command: Command?
    /// Letters, for commands that take some.
    var letters: [String] = []
    var database = "dead-letters.db"
    var namedBus: String?
    var queue: DeadLetterQueueName?
    var tier: DeadLetterTier?
    var reason: DeadLetterReason?
    var type: MessageType?
    var consumer: String?
    var tenant: TenantID?
    var topic: Topic?
    var fingerprint: DeadLetterFingerprint?
    var olderThan: Duration?
    var newerThan: Duration?
    var text: String?
    var limit = 20
    var after: Int64 = 0
    var dryRun = false
    var rate: Int?
    var canary = 0
    var canaryWait: Duration = .seconds(60)
    var batch = 100
    var dropsExpiry = false
    var lease: Duration = .seconds(10)
    var resume: String?
    var cancel: String?
    var note = ""
    var yes = false
    var count = 200
    var json = false

    /// Where messages are sent: the file named, or one beside that of the letters.
    var bus: String {
        namedBus ?? (database.hasSuffix(".db") ? String(database.dropLast(3)) : database) + "-bus.db"
    }

    init(_ reader: CommandLineReader) throws(UsageError) {
        var reader = reader
        var words: [String] = []
        var isEmpty = true
        var wantsHelp = false
        while let option = reader.next() {
            isEmpty = false
            switch option {
            case "--database": database = try reader.value()
            case "--bus": namedBus = try reader.value()
            case "--queue": queue = DeadLetterQueueName(try reader.value())
            case "--tier": tier = DeadLetterTier(try reader.value())
            case "--reason": reason = DeadLetterReason(try reader.value())
            case "--type": type = MessageType(try reader.value())
            case "--consumer": consumer = try reader.value()
            case "--tenant": tenant = TenantID(try reader.value())
            case "--topic": topic = Topic(try reader.value())
            case "--fingerprint": fingerprint = DeadLetterFingerprint(try reader.value())
            case "--older-than": olderThan = try span(reader.value(), for: option)
            case "--newer-than": newerThan = try span(reader.value(), for: option)
            case "--text": text = try reader.value()
            case "--limit": limit = try reader.number(from: 1, to: 1_000_000)
            case "--after": after = try reader.number(from: 0)
            case "--rate": rate = try reader.number(from: 1, to: 1_000_000)
            case "--canary": canary = try reader.number(from: 0, to: RedriveRequest.mostCanaries)
            case "--canary-wait": canaryWait = try span(reader.value(), for: option)
            case "--batch": batch = try reader.number(from: 1, to: 10_000)
            case "--lease": lease = try span(reader.value(), for: option)
            case "--resume": resume = try reader.value()
            case "--cancel": cancel = try reader.value()
            case "--note": note = try reader.value()
            case "--letters": count = try reader.number(from: 1, to: 10_000_000)
            case "--dry-run": dryRun = try reader.flag()
            case "--drop-expiry": dropsExpiry = try reader.flag()
            case "--yes": yes = try reader.flag()
            case "--json": json = try reader.flag()
            case "--help", "-h": wantsHelp = try reader.flag()
            default:
                if option.hasPrefix("-"), option != "-" { throw reader.unknownOption }
                words.append(option)
            }
        }
        if wantsHelp || isEmpty { return }
        guard let word = words.first, let command = Command(rawValue: word) else {
            let names = Command.allCases.map(\.rawValue).joined(separator: ", ")
            throw UsageError("'\(words.first ?? "")' is no command. There are: \(names).")
        }
        self.command = command
        letters = Array(words.dropFirst())
        try check(command)
    }

    private func check(_ command: Command) throws(UsageError) {
        switch command {
        case .show:
            guard letters.count == 1 else { throw UsageError("show takes one letter, as 'list' names it.") }
        case .redrive, .discard: break
        default:
            if let first = letters.first { throw UsageError("\(command.rawValue) takes no '\(first)'.") }
        }
        if command == .discard, letters.isEmpty, !isFiltered {
            throw UsageError("discard needs letters or a filter. To discard all of them, say --text ''.")
        }
        if resume != nil || cancel != nil, isFiltered || !letters.isEmpty || dryRun {
            throw UsageError("A redrive that goes on or is cancelled is named by --resume or --cancel alone.")
        }
    }

    private var isFiltered: Bool { filter(at: .epoch) != .all }

    /// Which letters are meant.
    func filter(at now: Timestamp) -> DeadLetterFilter {
        DeadLetterFilter(
            queue: queue, tier: tier, reason: reason, fingerprint: fingerprint, type: type, consumer: consumer,
            tenant: tenant, topic: topic, since: newerThan.map { now - $0 }, before: olderThan.map { now - $0 },
            text: text,
            letters: letters.isEmpty ? nil : Set(letters))
    }

    func request(at now: Timestamp) -> RedriveRequest {
        RedriveRequest(
            filter(at: now), canary: canary, canaryWait: canaryWait, lettersPerSecond: rate, batchSize: batch,
            dropsExpiry: dropsExpiry, note: note)
    }
}

/// A span such as 90s, 5m, 2h or 7d.
private func span(_ text: String, for name: String) throws(UsageError) -> Duration {
    let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
    guard let last = text.last, let unit = units[last], let count = Int64(text.dropLast()),
        (0...1_000_000).contains(count)
    else {
        throw UsageError("\(name) takes a time such as 90s, 5m, 2h or 7d, not '\(text)'.")
    }
    return .seconds(count * unit)
}

extension Options {
    static let usage = """
        OVERVIEW: Looks after the dead letters that a service keeps in a SQLite database.

        USAGE: DeadLetterDesk COMMAND [LETTER...] [options]

        COMMANDS:
          list                  The letters, oldest first, a page at a time.
          groups                What failed in the same way at the same place, most letters first.
          show LETTER           A letter with its message, its failure, its history and what to do about it.
          redrive [LETTER...]   Sends the messages again. Without letters and filters: all of them.
          jobs                  The redrives, and how far they are.
          discard [LETTER...]   Removes letters, and remembers that it did. Asks first.
          export                The letters as lines of JSON.
          demo                  Fills a database with letters to try all this on.

        WHERE:
          --database FILE       The service's database. (default: dead-letters.db)
          --bus FILE            The database of the bus to send messages on. (default: beside it, dead-letters-bus.db)

        WHICH LETTERS:
          --reason, --type, --consumer, --queue, --tier, --tenant, --topic, --fingerprint NAME
          --older-than, --newer-than SPAN   Such as 90s, 5m, 2h or 7d.
          --text TEXT           What is in the text of the failure.
          --limit N             The most letters of a page. (default: 20)
          --after PLACE         The page behind this place; 'list' names it.

        REDRIVE:
          --dry-run             Says what would be sent, and sends nothing.
          --rate N              The most letters in a second.
          --canary N            So many go ahead; if one is back within --canary-wait SPAN (60s), the redrive stops.
          --batch N             How many are sent at once. (default: 100)
          --drop-expiry         Sends messages that came too late without their expiry.
          --resume JOB          Goes on with a redrive that stopped, or whose process was killed.
          --cancel JOB          Stops a redrive for good.
          --lease SPAN          How long a redrive waits for a process that was killed. (default: 10s)

        OTHERS:
          --note TEXT           Why, for the history; with redrive and discard.
          --yes                 Discards without asking.
          --letters N           How many letters 'demo' makes. (default: 200)
          --json                Prints one JSON object.
          --help                Prints this.

        EXIT STATUS: 0 done, 1 a redrive stopped or nothing was discarded, 64 bad usage, 66 no such file, letter or redrive,
        69 something it needs is not there, 70 it was given up.
        """
}
