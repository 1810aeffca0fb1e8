// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What goes wrong with connections in the middle of a load, by a proxy between an adapter and its broker.
public enum ConnectionTrouble: Sendable {
    /// All connections are cut, five times.
    case cuts(pause: Duration)

    /// Nobody answers for two seconds.
    case away

    /// Nothing goes forth or back for so long, and no connection ends.
    case standstill(Duration)

    /// The other ends have gone without a word, until so many connections were made anew.
    case silence(replaced: Int)

    /// Everything takes 30 milliseconds more, for a second.
    case slowness

    /// What should have come of the trouble and did not.
    public struct Unnoticed: Error, CustomStringConvertible {
        /// What did not come.
        public let description: String
    }

    /// Makes the trouble, and ends it.
    ///
    /// - Parameter proxy: What stands between.
    /// - Throws: ``Unnoticed`` if connections that lead nowhere were not replaced within a minute; what the proxy throws.
    public func inflict(on proxy: LoopbackProxy) async throws {
        let time = SystemTime()
        switch self {
        case .cuts(let pause):
            for _ in 0..<5 {
                proxy.cut()
                try await time.sleep(for: pause)
            }
        case .away:
            proxy.stop()
            try await time.sleep(for: .seconds(2))
            try proxy.start()
        case .standstill(let span):
            proxy.stall(true)
            try await time.sleep(for: span)
            proxy.stall(false)
        case .silence(let replaced):
            let wanted = proxy.accepted + replaced
            proxy.silence()
            let deadline = time.monotonic() + .seconds(60)
            while proxy.accepted < wanted {
                guard time.monotonic() < deadline else {
                    throw Unnoticed(description: "\(wanted - proxy.accepted) connections were not made anew.")
                }
                try await time.sleep(for: .milliseconds(20))
            }
        case .slowness:
            proxy.delay(.milliseconds(30))
            try await time.sleep(for: .seconds(1))
            proxy.delay(.zero)
        }
    }
}
