// SPDX-License-Identifier: Apache-2.0

import Foundation

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A socket on the loopback address.
struct LoopbackSocket: Sendable {
    private let number: Int32

    // MARK: Making one

    static func listening(on port: UInt16) throws -> LoopbackSocket {
        let socket = try LoopbackSocket()
        var yes: Int32 = 1
        setsockopt(socket.number, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        let isListening = withAddress(of: port) { address, length in
            bind(socket.number, address, length) == 0 && listen(socket.number, 64) == 0
        }
        guard isListening else { throw socket.released(.EADDRINUSE) }
        return socket
    }

    static func connected(to port: UInt16) throws -> LoopbackSocket {
        let socket = try LoopbackSocket()
        guard withAddress(of: port, { connect(socket.number, $0, $1) == 0 }) else {
            throw socket.released(.ECONNREFUSED)
        }
        return socket
    }

    private init() throws {
        #if canImport(Glibc)
            number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            number = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        guard number >= 0 else { throw POSIXError(.EMFILE) }
    }

    private init(_ number: Int32) {
        self.number = number
    }

    private func released(_ code: POSIXErrorCode) -> POSIXError {
        release()
        return POSIXError(code)
    }

    private static func withAddress<Result>(
        of port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    // MARK: Using it

    func port() throws -> UInt16 {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isKnown = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(number, $0, &length) == 0 }
        }
        guard isKnown else { throw POSIXError(.EBADF) }
        return UInt16(bigEndian: address.sin_port)
    }

    /// - Returns: `nil` if nobody came within so many milliseconds.
    func nextClient(within milliseconds: Int32) -> LoopbackSocket? {
        var wanted = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
        guard poll(&wanted, 1, milliseconds) > 0 else { return nil }
        let client = accept(number, nil, nil)
        return client >= 0 ? LoopbackSocket(client) : nil
    }

    /// - Returns: How many bytes came; `nil` at the end.
    func read(into buffer: inout [UInt8]) -> Int? {
        while true {
            let count = recv(number, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            return count > 0 ? count : nil
        }
    }

    /// - Returns: Whether all was sent.
    func write(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { pointer in
                send(number, pointer.baseAddress.map { $0 + sent }, bytes.count - sent, Self.noSignal)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    #if canImport(Darwin)
        private static let noSignal: Int32 = 0
    #else
        private static let noSignal = Int32(MSG_NOSIGNAL)
    #endif

    /// Ends both directions; who waits for bytes comes back.
    func end() { shutdown(number, Int32(SHUT_RDWR)) }

    /// Gives the number back; must be the last use of it.
    func release() { close(number) }
}
