// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Foundation
public import Testing

/// Finds *phantom events*: messages that say that something happened, and not what.
///
/// A payload that is nothing but identifiers makes every reader call the sender back for the state, and they are joined at run
/// time again. Give it one sample of each of your events, with all fields set:
///
/// ```swift
/// @Test func eventsCarryState() {
///     PhantomEventCheck().run(on: OrderPlaced.sample, CustomerChanged.sample)
/// }
/// ```
///
/// A field counts as an identifier if its name says so, such as `id`, `orderID` or `customer_key`, or if its value has the form of a
/// UUID or a URL. Fields that say when, in which version, or of which kind, such as `occurredAt` and `revision`, tell nothing about
/// state either. An event of a deletion needs no more than that: name its type in ``allowing``.
public struct PhantomEventCheck: Sendable {
    /// A message that carries no state.
    public struct Phantom: Sendable, Hashable, CustomStringConvertible {
        /// The type of the message.
        public let type: MessageType

        /// The fields it has, by their paths, sorted.
        public let fields: [String]

        /// What is wrong and what to do about it.
        public var description: String {
            let found = fields.isEmpty ? "no field at all" : "nothing but \(fields.joined(separator: ", "))"
            return
                "The event '\(type)' is a phantom: it has \(found). Let it carry what its readers would otherwise ask back for."
        }
    }

    /// The types that may carry nothing but identifiers.
    public let allowing: Set<MessageType>

    /// Creates a check.
    ///
    /// - Parameter allowing: The types that may carry nothing but identifiers, such as those of deletions.
    public init(allowing: Set<MessageType> = []) {
        self.allowing = allowing
    }

    /// Records an issue for each message that carries no state.
    ///
    /// - Parameters:
    ///   - messages: Samples.
    ///   - sourceLocation: Where to record the issues.
    public func run(on messages: any Message..., sourceLocation: SourceLocation = #_sourceLocation) {
        for message in messages {
            do {
                if let phantom = try find(in: message) { Issue.record("\(phantom)", sourceLocation: sourceLocation) }
            } catch {
                Issue.record(error, sourceLocation: sourceLocation)
            }
        }
    }

    /// Looks at one message.
    ///
    /// - Parameter message: The message.
    /// - Returns: What was found; `nil` if it carries state.
    /// - Throws: `MessageError` if it cannot be written as JSON.
    public func find(in message: some Message) throws -> Phantom? {
        let type = Swift.type(of: message).type
        guard !allowing.contains(type) else { return nil }
        do {
            let value = try JSONDecoder().decode(PayloadValue.self, from: JSONEncoder().encode(message))
            return phantom(type, value)
        } catch {
            throw MessageError(
                .unencodablePayload, "A sample of '\(type)' cannot be written as JSON. See the cause for the field.",
                cause: error)
        }
    }

    /// Looks at a message as it travels.
    ///
    /// - Parameter envelope: The message.
    /// - Returns: What was found; `nil` if it carries state, or is not JSON.
    public func find(in envelope: Envelope<Bytes>) -> Phantom? {
        guard !allowing.contains(envelope.attributes.type),
            let value = try? JSONDecoder().decode(PayloadValue.self, from: Data(envelope.payload))
        else { return nil }
        return phantom(envelope.attributes.type, value)
    }

    private func phantom(_ type: MessageType, _ payload: PayloadValue) -> Phantom? {
        var fields: [String] = []
        return payload.carriesState(name: "", path: "", fields: &fields)
            ? nil : Phantom(type: type, fields: fields.sorted())
    }
}

/// A JSON value, as far as it matters whether it says something.
private indirect enum PayloadValue: Decodable {
    case object([String: PayloadValue])
    case array([PayloadValue])
    case text(String)
    case other
    case null

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let object = try? container.decode([String: PayloadValue].self) {
            self = .object(object)
        } else if let array = try? container.decode([PayloadValue].self) {
            self = .array(array)
        } else if let text = try? container.decode(String.self) {
            self = .text(text)
        } else {
            self = .other
        }
    }

    /// - Parameters:
    ///   - name: The name of the field that it is the value of.
    ///   - path: Where it is.
    ///   - fields: Collects the fields that say nothing.
    /// - Returns: Whether something in it is more than a name.
    func carriesState(name: String, path: String, fields: inout [String]) -> Bool {
        switch self {
        case .object(let members):
            for (member, value) in members {
                if value.carriesState(name: member, path: path.isEmpty ? member : "\(path).\(member)", fields: &fields)
                {
                    return true
                }
            }
            return false
        case .array(let elements):
            for element in elements {
                if element.carriesState(name: name, path: path, fields: &fields) { return true }
            }
            return false
        case .null: return false
        case .text(let text):
            if FieldName(name).saysNothing || Self.isIdentifier(text) {
                fields.append(path)
                return false
            }
            return true
        case .other:
            if FieldName(name).saysNothing {
                fields.append(path)
                return false
            }
            return true
        }
    }

    private static func isIdentifier(_ text: String) -> Bool {
        text.isEmpty || UUID(uuidString: text) != nil || text.contains("://") || text.hasPrefix("urn:")
    }
}

/// The name of a field by its words, however they are joined.
private struct FieldName {
    private let words: [String]

    init(_ name: String) {
        var words: [String] = []
        var word = ""
        var isUpper = true
        for character in name {
            if !character.isLetter, !character.isNumber {
                words.append(word)
                word = ""
                isUpper = true
                continue
            }
            // A word begins where a capital letter follows a small one: `orderID` is two words, `ID` one.
            if character.isUppercase, !isUpper {
                words.append(word)
                word = ""
            }
            isUpper = character.isUppercase
            word.append(character)
        }
        self.words = (words + [word]).filter { !$0.isEmpty }.map { $0.lowercased() }
    }

    private static let identifiers: Set<String> = [
        "id", "ids", "uuid", "guid", "key", "keys", "ref", "refs", "reference", "url", "uri", "href", "link", "links",
    ]
    private static let metadata: Set<String> = [
        "at", "time", "timestamp", "version", "revision", "sequence", "type", "kind", "event", "schema",
    ]

    /// Whether a field of this name names something, or tells of the event and not of the state.
    var saysNothing: Bool {
        guard let last = words.last else { return false }
        if Self.identifiers.contains(last) { return true }
        return Self.metadata.contains(last)
    }
}
