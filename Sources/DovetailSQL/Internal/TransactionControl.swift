// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension SQL {
    /// Checks that the statement would not begin or end a transaction behind the back of the one it runs in.
    ///
    /// Savepoints are the caller's affair.
    ///
    /// - Throws: `DatabaseError` with `invalidStatement`.
    func checkControlsNoTransaction() throws {
        var text = fragments[0].utf8[...]
        let word = Self.nextWord(&text)
        let isControl =
            switch word {
            case "BEGIN", "START", "COMMIT", "END", "ABORT": true
            case "ROLLBACK": !Self.goesToSavepoint(&text)
            default: false
            }
        guard isControl else { return }
        throw DatabaseError(
            .invalidStatement,
            "'\(word)' has no place in a transaction: it commits when the body given to withTransaction returns, and rolls back "
                + "when it throws."
        )
    }

    private static func goesToSavepoint(_ text: inout Substring.UTF8View) -> Bool {
        let word = nextWord(&text)
        return word == "TO" || word == "TRANSACTION" && nextWord(&text) == "TO"
    }

    /// The next word in upper case, behind white space and comments; empty if something else comes next.
    private static func nextWord(_ text: inout Substring.UTF8View) -> String {
        skipBlanks(&text)
        var word: [UInt8] = []
        while let byte = text.first, word.count < 12 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): word.append(byte - 32)
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): word.append(byte)
            default: return String(decoding: word, as: UTF8.self)
            }
            text.removeFirst()
        }
        return String(decoding: word, as: UTF8.self)
    }

    private static func skipBlanks(_ text: inout Substring.UTF8View) {
        while let byte = text.first {
            if [9, 10, 11, 12, 13, 32, UInt8(ascii: ";")].contains(byte) {
                text.removeFirst()
            } else if text.starts(with: "--".utf8) {
                text = text.drop { $0 != 10 }
            } else if text.starts(with: "/*".utf8) {
                text.removeFirst(2)
                while !text.isEmpty, !text.starts(with: "*/".utf8) { text.removeFirst() }
                text = text.dropFirst(2)
            } else {
                return
            }
        }
    }
}
