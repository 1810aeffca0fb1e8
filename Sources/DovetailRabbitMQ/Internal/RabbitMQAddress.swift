// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Where a broker is and who we are to it, read from a
/// [URI](https://www.rabbitmq.com/docs/uri-spec).
struct RabbitMQAddress: Sendable, Hashable, CustomStringConvertible {
    var host: String
    var port: Int
    var user: String
    var password: String
    var virtualHost: String
    var isTLS: Bool

    /// The address as it may be shown: without the password.
    var description: String { "\(isTLS ? "amqps" : "amqp")://\(host.contains(":") ? "[\(host)]" : host):\(port)" }

    /// - Throws: ``TransportError`` with the code `refused`, which quotes nothing of the text: it may hold a password.
    init(_ text: String) throws(TransportError) {
        let schemes = [("amqp://", false), ("amqps://", true)]
        guard let (scheme, isTLS) = schemes.first(where: { text.lowercased().hasPrefix($0.0) }) else {
            throw Self.malformed("it does not begin with amqp:// or amqps://")
        }
        self.isTLS = isTLS
        var rest = text.dropFirst(scheme.count)
        guard !rest.contains("?"), !rest.contains("#") else {
            throw Self.malformed("it has parameters; they are parameters of RabbitMQTransport")
        }
        var path = ""
        if let slash = rest.firstIndex(of: "/") {
            path = String(rest[rest.index(after: slash)...])
            rest = rest[..<slash]
            virtualHost = try Self.decode(path, "virtual host")
            guard !path.contains("/") else { throw Self.malformed("a / within the virtual host is written %2F") }
        } else {
            virtualHost = "/"
        }
        (user, password) = ("guest", "guest")
        if let at = rest.lastIndex(of: "@") {
            let account = rest[..<at]
            rest = rest[rest.index(after: at)...]
            let colon = account.firstIndex(of: ":") ?? account.endIndex
            user = try Self.decode(String(account[..<colon]), "user")
            password = try Self.decode(String(account[colon...].dropFirst()), "password")
        }
        (host, port) = try Self.split(rest, defaultPort: isTLS ? 5671 : 5672)
        guard ![host, user, password, virtualHost].contains(where: { $0.utf8.contains(0) }) else {
            throw Self.malformed("a part of it has a byte that is zero")
        }
    }

    private static func split(
        _ text: Substring, defaultPort: Int
    ) throws(TransportError) -> (host: String, port: Int) {
        var (host, port) = (text, Substring())
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            host = text[text.index(after: text.startIndex)..<end]
            port = text[text.index(after: end)...]
        } else if let colon = text.lastIndex(of: ":") {
            (host, port) = (text[..<colon], text[colon...])
        }
        guard !host.isEmpty, !host.contains(where: { "[]".contains($0) }) else { throw malformed("it names no host") }
        if port.isEmpty { return (String(host), defaultPort) }
        guard port.first == ":", let number = Int(port.dropFirst()), 1...65535 ~= number else {
            throw malformed("its port is no number from 1 to 65535")
        }
        return (String(host), number)
    }

    private static func decode(_ text: String, _ name: String) throws(TransportError) -> String {
        var bytes: [UInt8] = []
        var rest = Substring(text).utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                throw malformed("a % in the \(name) is not followed by two hexadecimal digits")
            }
            bytes.append(high << 4 | low)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw malformed("the \(name) is not UTF-8")
        }
        return text
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static func malformed(_ reason: String) -> TransportError {
        TransportError(
            .refused,
            "The address of RabbitMQ cannot be read: \(reason). Write amqp://user:password@host:port/vhost, special characters "
                + "of its parts as %HH."
        )
    }
}
