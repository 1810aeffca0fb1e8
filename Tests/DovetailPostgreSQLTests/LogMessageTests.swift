// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    @Suite struct LogMessageTests {
        private func number(_ value: some FixedWidthInteger) -> Bytes {
            withUnsafeBytes(of: value.bigEndian) { Bytes($0) }
        }

        private func text(_ text: String) -> Bytes { Bytes(text.utf8) + [0] }

        private func join(_ pieces: Bytes...) -> Bytes { Bytes(pieces.joined()) }

        private var begin: Bytes { join([0x42], number(UInt64(7)), number(Int64(8)), number(UInt32(9))) }
        private var commit: Bytes {
            join([0x43, 0], number(UInt64(7)), number(UInt64(0x1_0000_00FF)), number(Int64(8)))
        }
        private var message: Bytes {
            join([0x4D, 1], number(UInt64(5)), text("mark"), number(UInt32(3)), [1, 2, 3])
        }
        private func column(_ name: String) -> Bytes { join([0], text(name), number(UInt32(25)), number(Int32(-1))) }
        private var relation: Bytes {
            join(
                [0x52], number(UInt32(77)), text("public"), text("outbox"), [0x64], number(UInt16(2)), column("id"),
                column("payload"))
        }
        private var insert: Bytes {
            join([0x49], number(UInt32(77)), [0x4E], number(UInt16(3)), [0x74], number(UInt32(1)), [0x61, 0x6E, 0x75])
        }

        @Test("Each message is read with what it says") func reads() throws {
            #expect(try LogMessage(begin) == .begin(commit: LogPosition(number: 7), committedAt: 946_684_800_000_008))
            #expect(try LogMessage(commit) == .commit(end: LogPosition(number: 0x1_0000_00FF)))
            #expect(LogPosition(number: 0x1_0000_00FF).description == "1/FF")
            #expect(
                try LogMessage(message)
                    == .message(prefix: "mark", content: [1, 2, 3], position: LogPosition(number: 5)))
            let columns = [LogMessage.Column(name: "id", type: 25), LogMessage.Column(name: "payload", type: 25)]
            #expect(try LogMessage(relation) == .relation(id: 77, schema: "public", name: "outbox", columns: columns))
            #expect(try LogMessage(insert) == .insert(relation: 77, row: [[0x61], nil, nil]))
            #expect(try LogMessage([0x59, 1, 2]) == .other(0x59))
            let head = join([0x77], number(UInt64(1)), number(UInt64(2)), number(Int64(3)))
            #expect(try LogFrame(join(head, begin)) == .data(begin, at: LogPosition(number: 1)))
            let life = join([0x6B], number(UInt64(6)), number(Int64(3)), [1])
            #expect(try LogFrame(life) == .keepAlive(end: LogPosition(number: 6), wantsReply: true))
        }

        @Test("What is cut off is refused, wherever it is cut") func cutOff() {
            for whole in [begin, commit, message, relation, insert] {
                // Behind the last place that is looked at, a commit has a time.
                for length in 0..<(whole == commit ? whole.count - 8 : whole.count) {
                    #expect(throws: LogFormatError.self) { try LogMessage(Bytes(whole.prefix(length))) }
                }
            }
        }

        @Test("Any bytes make a message or an error", arguments: 0..<8 as Range<UInt64>)
        func anyBytes(_ seed: UInt64) {
            let random = SeededRandom(seed: seed)
            let samples = [begin, commit, message, relation, insert]
            for round in 0..<20_000 {
                var bytes = samples[round % samples.count]
                for _ in 0..<(1 + random.next() % 4) {
                    let place = Int(random.next() % UInt64(bytes.count))
                    switch random.next() % 3 {
                    case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                    case 1: bytes.removeLast(min(bytes.count - 1, Int(random.next() % 5)))
                    default: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
                    }
                }
                _ = try? LogMessage(bytes)
                _ = try? LogFrame(bytes)
                _ = try? LoggedEnvelope.decode(bytes)
            }
        }

        @Test("A server that hands out no messages is refused by name, and which setting or version it lacks is said")
        func serverIsChecked() throws {
            try LogSlot.check(level: "logical", version: 140_000)
            for (level, version, text) in [
                ("logical", Int64(130_015), "version 13"), ("replica", 150_000, "wal_level"),
            ] {
                let error = #expect(throws: DatabaseError.self) { try LogSlot.check(level: level, version: version) }
                #expect(error?.code == .unsupported && error?.message.contains(text) == true)
            }
        }

        @Test("An envelope in the log comes back as it was, and other bytes are refused by name") func envelope() throws
        {
            var envelope = Envelope(
                EnvelopeAttributes(id: "1", source: "/a", type: "test.happened", topic: "orders"),
                payload: [0, 255, 1] as Bytes)
            envelope.attributes.partitionKey = "ключ"
            let bytes = LoggedEnvelope.encode(envelope)
            let back = try LoggedEnvelope.decode(bytes)
            #expect(back.attributes == envelope.attributes && back.payload == envelope.payload)
            for wrong in [[], [1], [2] + bytes.dropFirst(), Bytes(bytes.prefix(20)), Array("hello".utf8)] as [Bytes] {
                let error = #expect(throws: DatabaseError.self) { try LoggedEnvelope.decode(wrong) }
                #expect(error?.code == .undecodableRow)
            }
        }
    }
#endif
