// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Foundation
    import Synchronization

    /// Stands between a test and the server, and can be away, cut connections or swallow what is sent.
    final class Proxy: Sendable {
        private struct State {
            var listener: Int32 = -1
            var open: [Int32] = []
            var accepted = 0
            var isSwallowing = false
        }

        let port: UInt16
        private let target: UInt16
        private let state = Mutex(State())

        /// Finds a port, on which nothing listens until ``start()``.
        init() throws {
            target = UInt16(URLComponents(string: Server.address ?? "")?.port ?? 5432)
            let (listener, port) = try Self.listen(on: 0)
            self.port = port
            close(listener)
        }

        deinit {
            stop()
        }

        /// The server by way of this.
        var address: String {
            var components = URLComponents(string: Server.address ?? "postgresql://127.0.0.1/none") ?? URLComponents()
            components.host = "127.0.0.1"
            components.port = Int(port)
            // In the clear, so that it is there at once or not at all.
            components.query = "sslmode=disable"
            return components.string ?? ""
        }

        var accepted: Int { state.withLock { $0.accepted } }

        func start() throws {
            let (listener, _) = try Self.listen(on: port)
            state.withLock { $0.listener = listener }
            Thread.detachNewThread { [weak self] in
                while true {
                    let client = accept(listener, nil, nil)
                    guard client >= 0 else { return }
                    self?.serve(client)
                }
            }
        }

        /// Listens no more, and cuts what is open.
        func stop() {
            let listener = state.withLock { state in
                defer { state.listener = -1 }
                return state.listener
            }
            if listener >= 0 {
                shutdown(listener, Int32(SHUT_RDWR))
                close(listener)
            }
            cut()
        }

        func cut() {
            for socket in state.withLock({ $0.open }) { shutdown(socket, Int32(SHUT_RDWR)) }
        }

        /// From here on nothing that is sent to the server arrives.
        func swallow(_ isSwallowing: Bool) {
            state.withLock { $0.isSwallowing = isSwallowing }
        }

        private func serve(_ client: Int32) {
            let server = Self.makeSocket()
            var address = Self.loopback(target)
            let isConnected = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            guard isConnected else {
                close(client)
                close(server)
                return
            }
            state.withLock { state in
                state.accepted += 1
                state.open += [client, server]
            }
            for (source, sink, isToServer) in [(client, server, true), (server, client, false)] {
                Thread.detachNewThread { [weak self] in
                    var bytes = [UInt8](repeating: 0, count: 65536)
                    while true {
                        let count = recv(source, &bytes, bytes.count, 0)
                        guard count > 0 else { break }
                        if isToServer, self?.state.withLock({ $0.isSwallowing }) == true { continue }
                        guard send(sink, bytes, count, Int32(MSG_NOSIGNAL)) == count else { break }
                    }
                    shutdown(sink, Int32(SHUT_RDWR))
                }
            }
        }

        private static func makeSocket() -> Int32 {
            #if canImport(Glibc)
                socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            #else
                socket(AF_INET, SOCK_STREAM, 0)
            #endif
        }

        private static func loopback(_ port: UInt16) -> sockaddr_in {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            return address
        }

        private static func listen(on port: UInt16) throws -> (Int32, UInt16) {
            let listener = makeSocket()
            var yes: Int32 = 1
            setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
            var address = loopback(port)
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isBound = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(listener, $0, length) == 0 && Foundation.listen(listener, 64) == 0
                        && getsockname(listener, $0, &length) == 0
                }
            }
            guard isBound else { throw POSIXError(.EADDRINUSE) }
            return (listener, UInt16(bigEndian: address.sin_port))
        }
    }
#endif
