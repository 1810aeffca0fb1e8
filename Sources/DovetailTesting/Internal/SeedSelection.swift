// SPDX-License-Identifier: Apache-2.0

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Which seeds a simulated test runs with.
enum SeedSelection {
    /// Names the variable of the environment that picks one seed, to see a failure again.
    static let variable = "DOVETAIL_SEED"

    /// The seeds asked for, or the one that the environment picks.
    static func seeds(_ seeds: Range<UInt64>) -> [UInt64] {
        // Read before tests run, which set no variables.
        guard let text = getenv(variable).map({ String(cString: $0) }), let seed = UInt64(text) else {
            return Array(seeds)
        }
        return [seed]
    }
}
