// SPDX-License-Identifier: Apache-2.0

/// What is kept of an error: text only, redacted and of bounded length.
///
/// U+FFFD stands in place of the character zero, which not every database keeps.
///
/// A letter in its store keeps all of it. What travels with a message, in its headers or in an event, is ``inFlight``, of which
/// a transport never has to carry more than a few hundred bytes.
public struct FailureDetail: Sendable, Hashable {
    /// The most bytes of text that are kept.
    public static let mostBytes = 65_536

    /// The most bytes of text that travel with a message.
    public static let mostBytesInFlight = 512

    /// The type of the error.
    public let type: String

    /// Where it comes from, so far as the error tells: its case, its code, or what a ``PlacedError`` says.
    ///
    /// Never a text that differs from message to message.
    public let place: String

    /// Its text.
    public let message: String

    /// Creates a detail from its text.
    ///
    /// - Parameters:
    ///   - type: The type of the error; cut to 200 bytes.
    ///   - place: Where it comes from; cut to 200 bytes.
    ///   - message: Its text; cut to ``mostBytes``.
    public init(type: String, place: String = "", message: String) {
        self.type = Self.cut(Self.storable(type), to: 200)
        self.place = Self.cut(Self.storable(place), to: 200)
        self.message = Self.cut(Self.storable(message), to: Self.mostBytes)
    }

    /// Describes an error.
    ///
    /// - Parameters:
    ///   - error: The error.
    ///   - messageType: The type of the message it is about.
    ///   - runtime: Whose redactor the text passes.
    public init(_ error: any Error, of messageType: MessageType?, runtime: Runtime) {
        self.init(
            type: String(reflecting: Swift.type(of: error)), place: Self.place(of: error),
            message: runtime.redacted(String(describing: error), of: messageType)
        )
    }

    /// The same with no more text than may travel with a message.
    public var inFlight: FailureDetail {
        FailureDetail(type: type, place: place, message: Self.cut(message, to: Self.mostBytesInFlight))
    }

    /// Where an error comes from, without any text that may vary.
    private static func place(of error: any Error) -> String {
        if let placed = error as? any PlacedError { return placed.place }
        let mirror = Mirror(reflecting: error)
        if mirror.displayStyle == .enum {
            // A case with values is named by its label. One without has no other name than its description, unless that was
            // written by hand.
            if let label = mirror.children.first?.label { return label }
            return error is any CustomStringConvertible ? "" : String(describing: error)
        }
        // The errors of this library, and many others, have an open code.
        let code = mirror.children.first { $0.label == "code" || $0.label == "errorCode" }
        return code.map { String(describing: $0.value) } ?? ""
    }

    /// Makes a text that every database keeps.
    ///
    /// - Parameter text: Any text.
    /// - Returns: The text with U+FFFD in place of the character zero.
    package static func storable(_ text: String) -> String {
        guard text.utf8.contains(0) else { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { result.append(scalar.value == 0 ? "\u{FFFD}" : scalar) }
        return String(result)
    }

    private static func cut(_ text: String, to mostBytes: Int) -> String {
        guard text.utf8.count > mostBytes else { return text }
        var end = text.utf8.index(text.startIndex, offsetBy: mostBytes)
        // Step back over at most three bytes to the start of a scalar, so that the text stays valid. Not to the start of a
        // character: one that combines thousands of marks would take the whole text with it.
        while end > text.startIndex, text.utf8[end] & 0xc0 == 0x80 { end = text.utf8.index(before: end) }
        return String(decoding: text.utf8[..<end], as: UTF8.self)
    }
}

/// An error that says where it comes from, so that dead letters with the same cause are found together.
///
/// ```swift
/// struct Refused: PlacedError {
///     let place: String
///     init(file: String = #fileID, line: Int = #line) { place = "\(file):\(line)" }
/// }
/// ```
public protocol PlacedError: Error {
    /// The place, such as a file and a line or the name of a step; the same for every message that fails there.
    var place: String { get }
}
