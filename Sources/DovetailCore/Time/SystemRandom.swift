// SPDX-License-Identifier: Apache-2.0

import Synchronization

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The random numbers of the machine.
public struct SystemRandom: RandomSource {
    /// Creates the source.
    public init() {}

    /// Draws 64 random bits.
    ///
    /// - Returns: The bits.
    public func next() -> UInt64 {
        if Runtime.mayBeSimulated { Runtime.current.probe?.escaped("draw the machine's random numbers") }
        return SystemRandomBlock.shared.next()
    }
}

/// Random numbers of the machine, fetched a block at a time.
///
/// The one place in the library that draws from the machine. On Linux each fetch is a call of the system, which costs more than all
/// the rest of a new identifier.
private final class SystemRandomBlock: Sendable {
    static let shared = SystemRandomBlock()

    /// 256 bytes: the most that `getentropy` gives at once.
    private static let count = 32

    private struct State: Sendable {
        var numbers = [UInt64](repeating: 0, count: SystemRandomBlock.count)
        var used = SystemRandomBlock.count
    }

    private let state = Mutex(State())

    func next() -> UInt64 {
        state.withLock { state in
            if state.used == Self.count {
                Self.fill(&state.numbers)
                state.used = 0
            }
            let number = state.numbers[state.used]
            // What was given out is not left where it could be read once more.
            state.numbers[state.used] = 0
            state.used += 1
            return number
        }
    }

    private static func fill(_ numbers: inout [UInt64]) {
        #if canImport(Darwin)
            numbers.withUnsafeMutableBytes { arc4random_buf($0.baseAddress, $0.count) }
        #else
            let size = count * MemoryLayout<UInt64>.size
            if numbers.withUnsafeMutableBytes({ getentropy($0.baseAddress, size) }) == 0 { return }
            // The one way of the standard library: number by number, and it waits until there are some.
            var generator = SystemRandomNumberGenerator()
            for index in numbers.indices { numbers[index] = generator.next() }
        #endif
    }
}
