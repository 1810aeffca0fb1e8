// SPDX-License-Identifier: Apache-2.0

/// What the command line asks for.
struct Options {
    enum Protection: String, CaseIterable {
        case outbox, idempotency, retry, fencing

        /// The names for people, such as "outbox, idempotency or retry".
        static var names: String {
            let all = allCases.map(\.rawValue)
            return all.dropLast().joined(separator: ", ") + " or " + (all.last ?? "")
        }
    }

    /// Where the rows are kept.
    enum DatabaseChoice: Equatable {
        case memory
        /// Files beside this one, one for each service.
        case sqlite(String)
        /// Tables of their own for each service, in the database with this address.
        case postgresql(String)
    }

    /// What carries the messages.
    enum TransportChoice: Equatable {
        /// Memory; with SQLite or PostgreSQL, beside the others, so that it survives with them.
        case local
        case kafka(String)
        /// A whole address, which may hold a password.
        case rabbitMQ(String)
    }

    enum ServiceName: String, CaseIterable {
        case order, payment, inventory
    }

    /// The file of orders; `nil` for the one that comes with the example, `-` for standard input.
    var orders: String?
    var duplicate = 0.1
    var drop = 0.05
    var reorder = false
    var decline = 0.05
    var outOfStock = 0.05
    var seed: UInt64 = 1
    var workers = 8
    var without: Set<Protection> = []
    var database = DatabaseChoice.memory
    var transport = TransportChoice.local
    var resume = false
    /// How long what a process has claimed is its own, in case it ends without a word.
    var lease = 2.0
    /// The only services to run in this process; `nil` for a whole run.
    var services: Set<ServiceName>?
    /// The name by which a broker knows this process again when it was killed and comes back.
    var member: String?
    var tour = false
    var json = false
    var help = false

    /// A command line that cannot be understood.
    struct UsageError: Error {
        let message: String
    }

    init(_ arguments: some Sequence<String>) throws(UsageError) {
        var rest = Array(arguments)[...]
        while let argument = rest.popFirst() {
            var name = argument
            var attached: String?
            if argument.hasPrefix("--"), let equals = argument.firstIndex(of: "=") {
                name = String(argument[..<equals])
                attached = String(argument[argument.index(after: equals)...])
            }
            func value() throws(UsageError) -> String {
                guard let value = attached ?? rest.popFirst() else {
                    throw UsageError(message: "\(name) needs a value.")
                }
                return value
            }
            switch name {
            case "--orders": orders = try value()
            case "--duplicate": duplicate = try probability(value(), for: name)
            case "--drop": drop = try probability(value(), for: name)
            case "--decline": decline = try probability(value(), for: name)
            case "--out-of-stock": outOfStock = try probability(value(), for: name)
            case "--seed": seed = try number(value(), for: name, atLeast: UInt64(0))
            case "--workers": workers = try number(value(), for: name, atLeast: 1)
            case "--without": without.formUnion(try protections(value()))
            case "--database": database = try databaseChoice(value())
            case "--transport": transport = try transportChoice(value())
            case "--lease": lease = try seconds(value(), for: name)
            case "--service": services = (services ?? []).union(try serviceNames(value()))
            case "--member": member = try value()
            case "--reorder", "--json", "--resume", "--tour", "--help", "-h":
                if attached != nil { throw UsageError(message: "\(name) takes no value.") }
                switch name {
                case "--reorder": reorder = true
                case "--json": json = true
                case "--resume": resume = true
                case "--tour": tour = true
                default: help = true
                }
            default: throw UsageError(message: "There is no option '\(argument)'.")
            }
        }
        if workers > 1024 { throw UsageError(message: "--workers takes at most 1024.") }
        guard !help else { return }
        try checkCombinations()
    }

    private func checkCombinations() throws(UsageError) {
        if database == .memory {
            if resume {
                throw UsageError(message: "--resume needs --database: what was in memory ended with the process.")
            }
            if services != nil { throw UsageError(message: "--service needs --database, which processes can share.") }
        }
        if services != nil, tour { throw UsageError(message: "--service and --tour exclude each other.") }
        if tour, json { throw UsageError(message: "--tour and --json exclude each other.") }
        if tour, orders == "-" { throw UsageError(message: "--tour reads the keyboard, so the orders need a file.") }
    }

    static let usage = """
        OVERVIEW: Orders go through three services that cannot see each other.

        Order, Payment and Inventory each have a database of their own and are joined only by events, on a bus that loses,
        repeats and reorders messages. At the end the books are audited from the rows of the three databases.

        USAGE: OrderCheckout [options]

        OPTIONS:
          --orders FILE         JSON lines, or CSV with a header: orderID,customerID,sku,quantity,cents,placedAt.
                                '-' reads standard input. Without it: a file of 1,000 orders that comes along.
          --duplicate P         A delivery is repeated with this probability. (default: 0.1)
          --drop P              A publish is answered as failed, stored or not, and a delivery vanishes and comes again,
                                with this probability. (default: 0.05)
          --reorder             Deliveries overtake each other.
          --decline P           The card of an order is declined with this probability. (default: 0.05)
          --out-of-stock P      An order that was paid finds nothing in stock with this probability. (default: 0.05)
          --seed N              Decides all of the above. (default: 1)
          --workers N           How many messages each service handles at once. With 1, in memory, everything runs in one
                                line on virtual time: the same seed gives the same run, to the last delivery. (default: 8)
          --without PROTECTION  Removes a protection, to see what it was for: \(Protection.names).
                                The audit is then expected to fail. May be given more than once. What fencing is for shows
                                only where several processes share a database and one of them is suspended for a while.
          --json                Prints one JSON object instead of a report.
          --help                Prints this.

        WHAT SURVIVES THE PROCESS:
          --database sqlite:FILE  Keeps each service's rows in a file of its own beside FILE, such as shop-order.db for
                                shop.db, and the bus in another. Needs 'swift run --traits SQLite'. Kill the process
                                anywhere, and run it again with --resume.
          --database postgresql://USER@HOST/NAME  Keeps each service's rows, and the bus, in tables of its own there. Needs
                                'swift run --traits PostgreSQL'.
          --transport kafka:HOST:PORT  Sends the messages through Kafka. Needs 'swift run --traits Kafka'. The faults of
                                the bus (--duplicate, --drop, --reorder) are those of the bus in memory only.
          --transport rabbitmq:HOST:PORT  Sends them through RabbitMQ; also rabbitmq://USER:PASSWORD@HOST:PORT/VHOST. Needs
                                'swift run --traits RabbitMQ'.
          --resume              Goes on where an earlier run on the same files was cut off.
          --lease SECONDS       After what time others take over what a process that ended had claimed. (default: 2)
          --service NAMES       Runs only these services, as another member beside a run on the same files, until
                                interrupted: order, payment and inventory, separated by commas.
          --member NAME         The name of this process among those that run the same services on Kafka. A process that was killed
                                and comes back under its name goes on at once; without one, the broker first waits six
                                seconds for it.
          --tour                One page on the terminal: the services run as processes of their own, a key kills one, the
                                lag rises and falls, and the books balance. Needs 'swift run --traits SQLite'.

        EXIT STATUS: 0 the books balance, 1 they do not, 64 bad usage, 66 no such file, 69 something it needs is not there,
        70 the run was given up.
        """
}

private func probability(_ text: String, for name: String) throws(Options.UsageError) -> Double {
    guard let value = Double(text), (0...1).contains(value) else {
        throw Options.UsageError(message: "\(name) takes a number from 0 to 1, not '\(text)'.")
    }
    return value
}

private func seconds(_ text: String, for name: String) throws(Options.UsageError) -> Double {
    guard let value = Double(text), (0.1...3600).contains(value) else {
        throw Options.UsageError(message: "\(name) takes a number of seconds from 0.1 to 3600, not '\(text)'.")
    }
    return value
}

private func number<N: FixedWidthInteger>(
    _ text: String, for name: String, atLeast least: N
) throws(Options.UsageError) -> N {
    guard let value = N(text), value >= least else {
        throw Options.UsageError(message: "\(name) takes a whole number from \(least), not '\(text)'.")
    }
    return value
}

private func protections(_ text: String) throws(Options.UsageError) -> Set<Options.Protection> {
    guard let found: Set<Options.Protection> = names(in: text) else {
        throw Options.UsageError(message: "--without takes \(Options.Protection.names), not '\(text)'.")
    }
    return found
}

private func serviceNames(_ text: String) throws(Options.UsageError) -> Set<Options.ServiceName> {
    guard let found: Set<Options.ServiceName> = names(in: text) else {
        throw Options.UsageError(message: "--service takes order, payment and inventory, not '\(text)'.")
    }
    return found
}

/// The names in a list, or `nil` if there is none or one that does not exist.
private func names<Name: RawRepresentable<String> & Hashable>(in text: String) -> Set<Name>? {
    let parts = text.split(whereSeparator: { $0 == "," || $0 == "|" })
    let found = parts.compactMap { Name(rawValue: String($0)) }
    return found.isEmpty || found.count < parts.count ? nil : Set(found)
}

private func databaseChoice(_ text: String) throws(Options.UsageError) -> Options.DatabaseChoice {
    if text == "memory" { return .memory }
    if text.hasPrefix("postgresql://") || text.hasPrefix("postgres://") { return .postgresql(text) }
    guard text.hasPrefix("sqlite:"), text.count > 7 else {
        throw Options.UsageError(message: "--database takes sqlite:FILE or postgresql://USER@HOST/NAME, not '\(text)'.")
    }
    return .sqlite(String(text.dropFirst(7)))
}

private func transportChoice(_ text: String) throws(Options.UsageError) -> Options.TransportChoice {
    if text == "memory" { return .local }
    if text.hasPrefix("amqp://") || text.hasPrefix("amqps://") { return .rabbitMQ(text) }
    if text.hasPrefix("rabbitmq:"), text.count > 9 {
        let rest = text.dropFirst(9)
        return .rabbitMQ("amqp:\(rest.hasPrefix("//") ? "" : "//")\(rest)")
    }
    let address = text.dropFirst(6)
    guard text.hasPrefix("kafka:"), let colon = address.lastIndex(of: ":"), colon > address.startIndex,
        let port = UInt16(address[address.index(after: colon)...]), port > 0
    else {
        throw Options.UsageError(message: "--transport takes kafka:HOST:PORT or rabbitmq:HOST:PORT, not '\(text)'.")
    }
    return .kafka(String(address))
}
