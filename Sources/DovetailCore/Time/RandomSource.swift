// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Where all of the library gets its random numbers from, so that a test can own them.
///
/// A source must be safe to use from many tasks at once.
public protocol RandomSource: Sendable {
    /// Draws 64 random bits.
    ///
    /// - Returns: The bits.
    func next() -> UInt64
}

extension RandomSource {
    /// Draws a number between 0 and 1.
    ///
    /// - Returns: A number, 1 excluded.
    public func unit() -> Double {
        Double(next() >> 11) * 0x1p-53
    }

    /// Decides with a probability.
    ///
    /// - Parameter probability: 0 for never, 1 for always.
    /// - Returns: Whether the event happens. A probability of 0 draws nothing.
    public func chance(_ probability: Double) -> Bool {
        probability > 0 && unit() < probability
    }

    /// A generator for functions of the standard library that take one.
    public var generator: RandomSourceGenerator { RandomSourceGenerator(source: self) }
}

/// A ``RandomSource`` in the form that functions of the standard library take.
public struct RandomSourceGenerator: RandomNumberGenerator, Sendable {
    let source: any RandomSource

    /// Draws 64 random bits.
    ///
    /// - Returns: The bits.
    public mutating func next() -> UInt64 {
        source.next()
    }
}

/// The random numbers of the machine.
public struct SystemRandom: RandomSource {
    /// Creates the source.
    public init() {}

    /// Draws 64 random bits.
    ///
    /// - Returns: The bits.
    public func next() -> UInt64 {
        if Runtime.mayBeSimulated { Runtime.current.probe?.escaped("draw the machine's random numbers") }
        // The one place in the library that draws from the machine.
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}

/// Random numbers that are the same for the same seed.
///
/// The generator is SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, 2014).
public final class SeededRandom: RandomSource {
    private let state: Mutex<UInt64>

    /// Creates a source.
    ///
    /// - Parameter seed: Decides all numbers to come.
    public init(seed: UInt64) {
        state = Mutex(seed)
    }

    /// Draws 64 random bits.
    ///
    /// - Returns: The bits.
    public func next() -> UInt64 {
        state.withLock { state in
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            return mixed ^ (mixed >> 31)
        }
    }
}
