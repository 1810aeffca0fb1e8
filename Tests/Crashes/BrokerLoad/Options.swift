// SPDX-License-Identifier: Apache-2.0

import ExampleSupport

/// What the command line says.
struct Options: Sendable {
    enum Role: String, CaseIterable, Sendable {
        case producer, consumer
    }

    var role = Role.consumer
    var transport = ""
    var topic = ""
    var member = ""
    var database = ""
    var keys = 24
    var part = 0
    var parts = 1
    var stopFile = ""
    var help = false

    static let usage = """
        Publishes numbered messages of many keys, or notes which came, until it is told to end.

        --role producer|consumer  What it does.
        --transport ADDRESS       kafka:HOST:PORT or amqp://USER:PASSWORD@HOST:PORT/VHOST.
        --topic NAME              The topic, which is also the group of the consumers.
        --member NAME             Who it is, the same after each start.
        --database FILE           Where it notes what it did.
        --keys N                  How many keys there are.
        --part N --parts N        Which of so many parts of the keys it publishes.
        --stop-file FILE          It publishes no more once this file is there.
        """

    init(_ reader: CommandLineReader) throws(UsageError) {
        var reader = reader
        while let option = reader.next() {
            switch option {
            case "--role": role = try reader.choice()
            case "--transport": transport = try reader.value()
            case "--topic": topic = try reader.value()
            case "--member": member = try reader.value()
            case "--database": database = try reader.value()
            case "--keys": keys = try reader.number(from: 1, to: 10_000)
            case "--part": part = try reader.number(from: 0)
            case "--parts": parts = try reader.number(from: 1)
            case "--stop-file": stopFile = try reader.value()
            case "--help": help = try reader.flag()
            default: throw reader.unknownOption
            }
        }
        if help { return }
        let required = ["transport": transport, "topic": topic, "member": member, "database": database]
        if let missing = required.filter({ $0.value.isEmpty }).keys.min() {
            throw UsageError("--\(missing) is missing.")
        }
    }
}
