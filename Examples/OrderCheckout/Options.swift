// SPDX-License-Identifier: Apache-2.0

import ExampleSupport

/// What the command line asks for.
struct Options {
    enum Protection: String, CaseIterable {
        case outbox, idempotency, retry, fencing
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

    /// The name of a run on a broker, of characters that every broker takes.
    struct RunName: Equatable {
        let text: String

        init(_ text: String) throws(UsageError) {
            let isPlain = text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
                default: false
                }
            }
            guard isPlain, (1...60).contains(text.utf8.count) else {
                throw UsageError("--run takes 1 to 60 letters, digits, '-' and '_', not '\(text)'.")
            }
            self.text = text
        }
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
    /// Where the rows are kept: files beside the one that is named, or tables of their own, for each service.
    var database = DatabaseChoice.memory
    /// Where single services keep theirs instead.
    var ownDatabases: [ServiceName: DatabaseChoice] = [:]
    var transport = TransportChoice.local
    var relay = RelayChoice.table
    var resume = false
    /// How long what a process has claimed is its own, in case it ends without a word.
    var lease = 2.0
    /// The only services to run in this process; `nil` for a whole run.
    var services: Set<ServiceName>?
    /// The name by which a broker knows this process again when it was killed and comes back.
    var member: String?
    /// The name under which the processes of a run find each other on a broker; made up if `nil`.
    var run: RunName?
    /// Whether only to read the books of an earlier run.
    var audit = false
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
            case "--database": try choose(reader.value())
            case "--transport": transport = try transportChoice(reader.value())
            case "--relay": relay = try reader.choice()
            case "--lease": lease = try reader.fraction(in: 0.1...3600, as: "a number of seconds")
            case "--service": services = (services ?? []).union(try reader.choices("and"))
            case "--member": member = try reader.value()
            case "--run": run = try RunName(reader.value())
            case "--audit": audit = try reader.flag()
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

    /// Where a service keeps its rows.
    func database(of service: ServiceName) -> DatabaseChoice { ownDatabases[service] ?? database }

    /// The services whose databases this process opens.
    var openServices: [ServiceName] { ServiceName.allCases.filter { services?.contains($0) ?? true } }

    /// Whether the rows outlive the process, so that another one can go on with them.
    var isLasting: Bool { openServices.contains { database(of: $0) != .memory } }

    /// Whether other processes run the rest of the services.
    var isPartOfRun: Bool { openServices.count < ServiceName.allCases.count }

    private mutating func choose(_ text: String) throws(UsageError) {
        for service in ServiceName.allCases where text.hasPrefix("\(service.rawValue)=") {
            ownDatabases[service] = try DatabaseChoice(String(text.dropFirst(service.rawValue.count + 1)))
            return
        }
        database = try DatabaseChoice(text)
    }

    private func checkCombinations() throws(UsageError) {
        let choices = openServices.map(database)
        guard let first = choices.first else { return }
        if choices.contains(.memory) {
            if resume {
                throw UsageError("--resume needs --database: what was in memory ended with the process.")
            }
            if services != nil {
                throw UsageError("--service needs --database, to go on where it was when it comes back.")
            }
            if audit { throw UsageError("--audit needs --database: what was in memory ended with the process.") }
            if choices.contains(where: { $0 != .memory }) {
                throw UsageError("--database names a place for some services only; name one for the others too.")
            }
        }
        try checkProcesses(first)
        try checkRelay()
        if audit, orders != nil || services != nil || tour || resume {
            throw UsageError("--audit only reads: it takes no --orders, --service, --tour and --resume.")
        }
        if services != nil, tour { throw UsageError("--service and --tour exclude each other.") }
        if tour, json { throw UsageError("--tour and --json exclude each other.") }
        if tour, orders == "-" { throw UsageError("--tour reads the keyboard, so the orders need a file.") }
        if tour, !ownDatabases.isEmpty { throw UsageError("--tour takes one --database for all services.") }
    }

    private func checkRelay() throws(UsageError) {
        guard relay == .log else { return }
        for choice in openServices.map(database) {
            guard case .postgresql = choice else {
                throw UsageError("--relay log needs --database postgresql://…, whose log it reads.")
            }
        }
        if without.contains(.outbox) {
            throw UsageError("--relay log and --without outbox exclude each other: it is the outbox that it relays.")
        }
        if isPartOfRun {
            // Nobody would know when the server need not keep its log for them any more.
            throw UsageError("--relay log is for processes that run all services.")
        }
    }

    private func checkProcesses(_ first: DatabaseChoice) throws(UsageError) {
        if !audit, transport == .local, openServices.contains(where: { ownDatabases[$0] != nil }) {
            throw UsageError(
                "Services with a --database each need --transport: there is no place beside them for a bus.")
        }
        if !audit, !openServices.map(database).allSatisfy(first.isSameKind(as:)) {
            throw UsageError("The services of one process keep their rows in databases of one kind.")
        }
        guard isPartOfRun else { return }
        if orders != nil, !openServices.contains(.order) {
            throw UsageError("--orders is for the process that runs the service order.")
        }
        if transport != .local, run == nil {
            throw UsageError("--service needs --run NAME, by which the processes find each other on the broker.")
        }
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
          --database SERVICE=…  Keeps the rows of one service elsewhere than the others, in the file or database of just this
                                name. May be given for each of them.
          --relay log           Has the outboxes write to the log of the PostgreSQL server, and publishes from there in the order
                                of commits. The server needs 'wal_level = logical', the user the right to replicate. Each
                                service has a replication slot, for which the server keeps its log; the run takes the slots
                                back when its books balance. Until then --resume needs --relay log too.
          --resume              Goes on where an earlier run on the same files was cut off.
          --lease SECONDS       After what time others take over what a process that ended had claimed. (default: 2)
          --tour                One page on the terminal: the services run as processes of their own, a key kills one, the
                                lag rises and falls, and the books balance. Needs 'swift run --traits SQLite'.

        SERVICES AS PROCESSES OF THEIR OWN:
          --service NAMES       Runs only these services, and opens only their databases, until SIGTERM or SIGINT: order,
                                payment and inventory, separated by commas. With --orders, the one that runs order takes the
                                file in and ends when all its orders have ended.
          --run NAME            The name under which the processes find each other on the broker; the same for all of them,
                                and another one for each run.
          --member NAME         The name of this process among those that run the same services on Kafka. A process that was killed
                                and comes back under its name goes on at once; without one, the broker first waits six
                                seconds for it.
          --audit               Reads the books of an earlier run from the databases of the three services, and runs nothing.

          Three processes that share nothing but the broker, each to be killed and started again as one likes:
            OrderCheckout --service payment --database sqlite:payment/shop.db --transport kafka:HOST:PORT --run today
            OrderCheckout --service inventory --database sqlite:inventory/shop.db --transport kafka:HOST:PORT --run today
            OrderCheckout --service order --database sqlite:order/shop.db --transport kafka:HOST:PORT --run today \\
              --orders Examples/OrderCheckout/orders.jsonl --resume
            OrderCheckout --audit --database order=sqlite:order/shop-order.db \\
              --database payment=sqlite:payment/shop-payment.db --database inventory=sqlite:inventory/shop-inventory.db

        EXIT STATUS: 0 the books balance, 1 they do not, 64 bad usage, 66 no such file, 69 something it needs is not there,
        70 the run was given up, 75 it was interrupted; with --database, --resume goes on with it.
        """
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
