// SPDX-License-Identifier: Apache-2.0

import DovetailCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// How states, outcomes and messages are kept: JSON with sorted keys, so that equal values have equal bytes.
enum SagaJSON {
    // Both are classes that are configured once here and only read afterwards; Foundation documents them as Sendable.
    private static let encoder: JSONEncoder = {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .rfc3339
        return encoder
    }()
    private static let decoder: JSONDecoder = {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .rfc3339
        return decoder
    }()

    static func encode(_ value: any Encodable, what: @autoclosure () -> String) throws -> Bytes {
        do {
            return Bytes(try encoder.encode(value))
        } catch {
            throw SagaError(
                .unencodableState, "It is not possible to write \(what()) as JSON. See the cause for the field.",
                cause: error)
        }
    }

    static func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: Bytes, what: @autoclosure () -> String
    ) throws -> Value {
        do {
            return try decoder.decode(type, from: Data(bytes))
        } catch {
            throw SagaError(
                .undecodableState, "What is stored is not \(what()). See the cause for the field.", cause: error)
        }
    }
}
