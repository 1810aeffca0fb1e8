// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// Stands on the loopback address between a test and a server, and does to their connections what networks do.
///
/// It can be away, cut connections, have them stall or be slow, swallow what is sent, and leave connections half open, where each side
/// believes that the other is still there. Where a server tells its clients its own address, as Kafka does, the proxy puts its
/// own in the place of that, so that no connection goes round it.
public final class LoopbackProxy: Sendable {
    private struct State: Sendable {
        var listener: Listener?
        var links: [ObjectIdentifier: ProxyLink] = [:]
        var accepted = 0
        var isStalled = false
        var isSwallowing = false
        var delay: Duration = .zero
        var awaited: [UInt8]?
        var isHolding = false
        var fatal: [UInt8]?
        var replacement: AddressReplacement?
    }

    /// One time in which the proxy is there.
    private final class Listener: Sendable {
        let socket: LoopbackSocket
        let isStopping = Atomic(false)
        let hasEnded = DispatchSemaphore(value: 0)

        init(_ socket: LoopbackSocket) {
            self.socket = socket
        }
    }

    /// Where it listens once it was started.
    public let port: UInt16

    /// The server.
    public let target: UInt16

    private let replacesAddress: Bool
    private let state = Mutex(State())

    /// Finds a port, on which nothing listens until ``start()``.
    ///
    /// - Parameters:
    ///   - target: The port of the server, on the address 127.0.0.1.
    ///   - replacesAddress: Whether to put the proxy's port in the place of the server's where the server tells its own address in the
    ///     form that Kafka has for it.
    /// - Throws: `POSIXError` if there is no port.
    public init(to target: UInt16, replacesAddress: Bool = false) throws {
        self.target = target
        self.replacesAddress = replacesAddress
        let socket = try LoopbackSocket.listening(on: 0)
        port = try socket.port()
        socket.release()
    }

    deinit {
        // Without waiting: this may be the thread that accepts.
        _ = end()
    }

    /// How many connections there were.
    public var accepted: Int { state.withLock { $0.accepted } }

    // MARK: Being there

    /// Begins to listen; does nothing if it does so already.
    ///
    /// - Throws: `POSIXError` if the port is taken meanwhile.
    public func start() throws {
        if state.withLock({ $0.listener != nil }) { return }
        let listener = Listener(try LoopbackSocket.listening(on: port))
        state.withLock { $0.listener = listener }
        Thread.detachNewThread { [weak self] in
            // Closed by the thread that accepts: closed by another one, the number could be another socket's before this looks again.
            while !listener.isStopping.load(ordering: .acquiring) {
                guard let client = listener.socket.nextClient(within: 50) else { continue }
                self?.serve(client)
            }
            listener.socket.release()
            listener.hasEnded.signal()
        }
    }

    /// Listens no more, and cuts what is open.
    public func stop() {
        end()?.hasEnded.wait()
        cut()
    }

    private func end() -> Listener? {
        let listener = state.withLock { state in
            defer { state.listener = nil }
            return state.listener
        }
        listener?.isStopping.store(true, ordering: .releasing)
        cut()
        return listener
    }

    private func serve(_ client: LoopbackSocket) {
        guard let server = try? LoopbackSocket.connected(to: target) else { return client.release() }
        let link = ProxyLink(client: client, server: server)
        state.withLock { state in
            state.accepted += 1
            state.links[ObjectIdentifier(link)] = link
        }
        var replacement = state.withLock { $0.replacement }
        if replacesAddress { replacement = AddressReplacement(of: target, by: port) }
        link.run(
            replacing: replacement,
            pass: { [weak self] in self?.pass($1, over: $0) ?? .ended },
            ended: { [weak self] link in self?.state.withLock { $0.links[ObjectIdentifier(link)] = nil } })
    }

    /// What becomes of bytes that came.
    private func pass(_ bytes: [UInt8], over link: ProxyLink) -> ProxyLink.Passage {
        if let fatal = state.withLock({ $0.fatal }), bytes.contains(fatal) {
            link.cut()
            return .ended
        }
        let isAwaited = state.withLock { state in
            guard let awaited = state.awaited, bytes.contains(awaited) else { return false }
            (state.awaited, state.isHolding) = (nil, true)
            return true
        }
        while isAwaited, isHolding, !link.isCut { Thread.sleep(forTimeInterval: 0.005) }
        while true {
            let (isStalled, isSwallowing, delay) = state.withLock { ($0.isStalled, $0.isSwallowing, $0.delay) }
            if link.isCut { return .ended }
            if link.isSilent || isSwallowing { return .swallowed }
            if !isStalled { return .passed(after: delay) }
            Thread.sleep(forTimeInterval: 0.005)
        }
    }

    // MARK: Trouble

    /// Cuts all connections.
    public func cut() {
        for link in links { link.cut() }
    }

    /// Leaves the connections that are open now half open: nothing passes over them any more, and neither side is told.
    ///
    /// Connections that are made later are as good as any.
    public func silence() {
        for link in links { link.silence() }
    }

    /// Sets whether everything stands still; what was sent meanwhile passes afterwards.
    ///
    /// - Parameter isStalled: Whether it does.
    public func stall(_ isStalled: Bool) {
        state.withLock { $0.isStalled = isStalled }
    }

    /// Sets whether all that is sent disappears, on connections that are made meanwhile too.
    ///
    /// - Parameter isSwallowing: Whether it does.
    public func swallow(_ isSwallowing: Bool) {
        state.withLock { $0.isSwallowing = isSwallowing }
    }

    /// Sets for how long all that is sent is under way.
    ///
    /// - Parameter delay: How long.
    public func delay(_ delay: Duration) {
        state.withLock { $0.delay = delay }
    }

    /// Has the first bytes that come in one piece and contain some wait until ``letGo()``; all others pass.
    ///
    /// - Parameter bytes: What to wait for.
    public func hold(before bytes: [UInt8]) {
        state.withLock { $0.awaited = bytes }
    }

    /// Whether such bytes have come and wait.
    public var isHolding: Bool { state.withLock(\.isHolding) }

    /// Lets what waits pass.
    public func letGo() {
        state.withLock { $0.isHolding = false }
    }

    /// Cuts each connection on which bytes come in one piece that contain some, before they pass.
    ///
    /// - Parameter bytes: What to wait for; `nil` to let all pass again.
    public func cut(before bytes: [UInt8]?) {
        state.withLock { $0.fatal = bytes }
    }

    /// Replaces some bytes in what the server sends, on connections that are made afterwards.
    ///
    /// - Parameters:
    ///   - bytes: What to replace.
    ///   - others: What to put in its place.
    public func replace(_ bytes: [UInt8], by others: [UInt8]) {
        state.withLock { $0.replacement = AddressReplacement(of: bytes, by: others) }
    }

    private var links: [ProxyLink] { state.withLock { Array($0.links.values) } }
}
