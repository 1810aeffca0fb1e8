// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// An HTTP server on the loopback address that gives the answers it is told to, the last one from then on.
final class LoopbackServer: Sendable {
    struct Request: Sendable {
        let line: String
        let headers: [String: String]
        let body: [UInt8]

        /// The body as an object of JSON.
        var json: [String: any Sendable] {
            (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: any Sendable] ?? [:]
        }
    }

    struct Answer: Sendable {
        var status: Int
        var headers: [String: String] = [:]

        /// The connection is closed without an answer.
        static let none = Answer(status: 0)
    }

    let port: UInt16
    private let listener: Int32
    private let answers: Mutex<[Answer]>
    private let received = Mutex<[Request]>([])

    init(_ answers: Answer...) throws {
        self.answers = Mutex(answers)
        #if canImport(Glibc)
            let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let listener = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(listener, pointer, length) == 0 && listen(listener, 16) == 0
                    && getsockname(listener, pointer, &length) == 0
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        guard isBound else { throw POSIXError(.EADDRINUSE) }
        let thread = Thread { [self] in serve() }
        thread.start()
    }

    var address: String { "http://127.0.0.1:\(port)/hook" }
    var requests: [Request] { received.withLock { $0 } }

    /// Ends the server, and with it its thread.
    func stop() {
        #if canImport(Glibc)
            shutdown(listener, Int32(SHUT_RDWR))
        #else
            shutdown(listener, SHUT_RDWR)
        #endif
    }

    private func serve() {
        // By the thread that accepts: closed by another one, the number could be another server's before this one looks again.
        defer { close(listener) }
        while true {
            let connection = accept(listener, nil, nil)
            if connection < 0, errno == EINTR || errno == ECONNABORTED { continue }
            guard connection >= 0 else { return }
            if let request = read(from: connection) {
                received.withLock { $0.append(request) }
                let answer = answers.withLock { $0.count > 1 ? $0.removeFirst() : $0.first ?? Answer(status: 200) }
                if answer.status > 0 { write(answer, to: connection) }
            }
            close(connection)
        }
    }

    private func read(from connection: Int32) -> Request? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { return nil }
            bytes += buffer[..<count]
            guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { continue }
            let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
            var headers: [String: String] = [:]
            for line in lines.dropFirst() {
                guard let colon = line.firstIndex(of: ":") else { continue }
                let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
                headers[line[..<colon].lowercased()] = value
            }
            let length = headers["content-length"].flatMap { Int($0) } ?? 0
            let body = bytes[end.upperBound...]
            if body.count >= length { return Request(line: lines[0], headers: headers, body: Array(body)) }
        }
    }

    private func write(_ answer: Answer, to connection: Int32) {
        let fields = answer.headers.map { "\($0.key): \($0.value)\r\n" }.joined()
        let text = "HTTP/1.1 \(answer.status) Answer\r\nContent-Length: 0\r\nConnection: close\r\n\(fields)\r\n"
        _ = Array(text.utf8).withUnsafeBytes { send(connection, $0.baseAddress, $0.count, 0) }
    }
}
