// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// One connection through a proxy: two sockets, and a thread for each direction.
final class ProxyLink: Sendable {
    /// What becomes of bytes that came.
    enum Passage: Sendable {
        case passed(after: Duration)
        case swallowed
        case ended
    }

    private let client: LoopbackSocket
    private let server: LoopbackSocket
    private let cutting = Atomic(false)
    private let silencing = Atomic(false)
    private let running = Atomic(2)

    init(client: LoopbackSocket, server: LoopbackSocket) {
        self.client = client
        self.server = server
    }

    var isCut: Bool { cutting.load(ordering: .acquiring) }
    var isSilent: Bool { silencing.load(ordering: .acquiring) }

    func silence() { silencing.store(true, ordering: .releasing) }

    func cut() {
        cutting.store(true, ordering: .releasing)
        client.end()
        server.end()
    }

    /// Starts the threads.
    ///
    /// - Parameters:
    ///   - replacement: What to replace in what the server sends.
    ///   - pass: Says what becomes of bytes that came.
    ///   - ended: Called once both directions have ended.
    func run(
        replacing replacement: AddressReplacement?, pass: @escaping @Sendable (ProxyLink, [UInt8]) -> Passage,
        ended: @escaping @Sendable (ProxyLink) -> Void
    ) {
        for (source, sink, own) in [(client, server, nil), (server, client, replacement)] {
            Thread.detachNewThread { [self] in
                pump(from: source, to: sink, own, pass)
                // A half-open side does not hear that the other one has gone.
                if !isSilent { sink.end() }
                // The last one closes both, so that no number is used again while a thread may still read from it.
                guard running.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 else { return }
                client.release()
                server.release()
                ended(self)
            }
        }
    }

    private func pump(
        from source: LoopbackSocket, to sink: LoopbackSocket, _ replacement: AddressReplacement?,
        _ pass: (ProxyLink, [UInt8]) -> Passage
    ) {
        var replacement = replacement
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while let count = source.read(into: &buffer) {
            let bytes = replacement?.replace(in: Array(buffer[..<count])) ?? Array(buffer[..<count])
            switch pass(self, bytes) {
            case .ended: return
            case .swallowed: continue
            case .passed(let delay):
                if delay > .zero {
                    Thread.sleep(
                        forTimeInterval: Double(delay.components.seconds)
                            + Double(delay.components.attoseconds) / 1e18)
                }
                guard sink.write(bytes) else { return }
            }
        }
    }
}

/// Replaces some bytes by others in what comes, such as the address 127.0.0.1 with one port by the same with another, as
/// Kafka writes addresses: the text of the host, then the port in four bytes.
struct AddressReplacement: Sendable {
    private let pattern: [UInt8]
    private let replacement: [UInt8]
    /// The end of what came, if the address may go on behind it.
    private var held: [UInt8] = []

    init(of pattern: [UInt8], by replacement: [UInt8]) {
        self.pattern = pattern
        self.replacement = replacement
    }

    init(of target: UInt16, by port: UInt16) {
        pattern = Self.bytes(target)
        replacement = Self.bytes(port)
    }

    private static func bytes(_ port: UInt16) -> [UInt8] {
        Array("127.0.0.1".utf8) + [0, 0, UInt8(port >> 8), UInt8(port & 255)]
    }

    /// Replaces the addresses in the next bytes that came.
    ///
    /// - Parameter bytes: The bytes.
    /// - Returns: What may be sent on; what could be the beginning of an address is held back until the next call.
    mutating func replace(in bytes: [UInt8]) -> [UInt8] {
        var bytes = held + bytes
        bytes.replace(pattern, with: replacement)
        let longest = min(bytes.count, pattern.count - 1)
        let count = (0...longest).reversed().first { bytes.suffix($0).elementsEqual(pattern.prefix($0)) } ?? 0
        held = Array(bytes.suffix(count))
        return Array(bytes.dropLast(count))
    }
}
