// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSQL
import Foundation
import GRDB

extension GRDB.DatabaseValue {
    /// - Throws: `DatabaseError` of Dovetail for a text that GRDB would cut at its first zero.
    init(value: SQLValue) throws {
        switch value {
        case .null: self = .null
        case .integer(let integer): self = integer.databaseValue
        case .real(let real): self = real.databaseValue
        case .text(let text):
            guard !text.utf8.contains(0) else {
                throw DovetailCore.DatabaseError(
                    .unencodableRow, "GRDB keeps no text with the character U+0000 in it. Keep it as bytes.")
            }
            self = text.databaseValue
        case .bytes(let bytes): self = Data(bytes).databaseValue
        }
    }
}

extension SQLValue {
    init(value: GRDB.DatabaseValue) {
        switch value.storage {
        case .null: self = .null
        case .int64(let integer): self = .integer(integer)
        case .double(let real): self = .real(real)
        case .string(let text): self = .text(text)
        case .blob(let data): self = .bytes(Bytes(data))
        }
    }
}

extension DovetailCore.DatabaseError {
    /// What an error means for the library, which tries again what can succeed then; what is no error of GRDB as it is.
    static func reading(_ error: any Error) -> any Error {
        guard let failure = error as? GRDB.DatabaseError else { return error }
        let code: Code =
            switch failure.resultCode {
            case .SQLITE_BUSY where failure.extendedResultCode == .SQLITE_BUSY_SNAPSHOT: .serializationFailure
            case .SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_PROTOCOL: .locked
            case .SQLITE_FULL: .full
            case .SQLITE_NOTADB: .notADatabase
            case .SQLITE_CORRUPT: .corrupt
            case .SQLITE_READONLY: .readOnlyDatabase
            case .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_AUTH: .cannotOpen
            case .SQLITE_CONSTRAINT: .constraintViolated
            case .SQLITE_ERROR, .SQLITE_MISUSE, .SQLITE_RANGE, .SQLITE_MISMATCH, .SQLITE_TOOBIG: .invalidStatement
            default: .unavailable
            }
        return DovetailCore.DatabaseError(code, "GRDB: \(failure)", cause: failure)
    }
}
