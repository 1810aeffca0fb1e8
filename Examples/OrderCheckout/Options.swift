// SPDX-License-Identifier: Apache-2.0

import ExampleSupport

/// What the command line asks for.
struct Options {
    enum Protection: String, CaseIterable {
        case outbox, idempotency, retry, fencing
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

    /// How what an outbox has written gets to the bus.
    enum RelayChoice: String, CaseIterable {
        /// From a table, which is polled.
        case table
        /// From the log of a PostgreSQL server.
        case log
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
    var relay = RelayChoice.table
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

    init(_ reader: CommandLineReader) throws(UsageError) {
        var reader = reader
        while let option = reader.next() {
            switch option {
            case "--orders": orders = try reader.value()
            case "--duplicate": duplicate = try reader.probability()
            case "--drop": drop = try reader.probability()
            case "--decline": decline = try reader.probability()
            case "--out-of-stock": outOfStock = try reader.probability()
            case "--seed": seed = try reader.number(from: 0)
            case "--workers": workers = try reader.number(from: 1)
            case "--without": without.formUnion(try reader.choices())
            case "--database": database = try databaseChoice(reader.value())
            case "--transport": transport = try transportChoice(reader.value())
            case "--relay": relay = try reader.choice()
            case "--lease": lease = try reader.fraction(in: 0.1...3600, as: "a number of seconds")
            case "--service": services = (services ?? []).union(try reader.choices("and"))
            case "--member": member = try reader.value()
            case "--reorder": reorder = try reader.flag()
            case "--json": json = try reader.flag()
            case "--resume": resume = try reader.flag()
            case "--tour": tour = try reader.flag()
            case "--help", "-h": help = try reader.flag()
            default: throw reader.unknownOption
            }
        }
        if workers > 1024 { throw UsageError("--workers takes at most 1024.") }
        guard !help else { return }
        try checkCombinations()
    }

    private func checkCombinations() throws(UsageError) {
        if database == .memory {
            if resume {
                throw UsageError("--resume needs --database: what was in memory ended with the process.")
            }
            if services != nil { throw UsageError("--service needs --database, which processes can share.") }
        }
        if relay == .log {
            guard case .postgresql = database else {
                throw UsageError("--relay log needs --database postgresql://…, whose log it reads.")
            }
            if without.contains(.outbox) {
                throw UsageError(
                    "--relay log and --without outbox exclude each other: it is the outbox that it relays.")
            }
        }
        if services != nil, tour { throw UsageError("--service and --tour exclude each other.") }
        if tour, json { throw UsageError("--tour and --json exclude each other.") }
        if tour, orders == "-" { throw UsageError("--tour reads the keyboard, so the orders need a file.") }
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
          --without PROTECTION  Removes a protection, to see what it was for: \(Protection.allCases.map(\.rawValue).inWords("or")).
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
          --relay log           Has the outboxes write to the log of the PostgreSQL server, and publishes from there in the order
                                of commits. The server needs 'wal_level = logical', the user the right to replicate. Each
                                service has a replication slot, for which the server keeps its log; the run takes the slots
                                back when its books balance. Until then --resume needs --relay log too.
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

private func databaseChoice(_ text: String) throws(UsageError) -> Options.DatabaseChoice {
    if text == "memory" { return .memory }
    if text.hasPrefix("postgresql://") || text.hasPrefix("postgres://") { return .postgresql(text) }
    guard text.hasPrefix("sqlite:"), text.count > 7 else {
        throw UsageError("--database takes sqlite:FILE or postgresql://USER@HOST/NAME, not '\(text)'.")
    }
    return .sqlite(String(text.dropFirst(7)))
}

private func transportChoice(_ text: String) throws(UsageError) -> Options.TransportChoice {
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
        throw UsageError("--transport takes kafka:HOST:PORT or rabbitmq:HOST:PORT, not '\(text)'.")
    }
    return .kafka(String(address))
}
