// SPDX-License-Identifier: Apache-2.0

/// One run of a ``GameDay``, in one line.
///
/// `seed=7;order=first;pick.orders=2;faults=crash:payments/settle#1` is a run with one crash; without `faults` all happens that the
/// plan says. Tests read it from the variable `DOVETAIL_REPLAY` of the environment.
public struct Replay: Sendable, Hashable, LosslessStringConvertible {
    /// Names the variable of the environment.
    public static let variable = "DOVETAIL_REPLAY"

    /// Decides everything that the rest does not name.
    public var seed: UInt64

    /// Whether jobs run in the order in which they become ready; otherwise in one that the seed decides.
    public var isFirstComeFirstServed = false

    /// What was picked; the seed picks the rest.
    public var picks: [String: Int] = [:]

    /// The only faults that may happen; as the plan says if `nil`.
    public var faults: Set<Fault>?

    /// Creates a run that the seed decides.
    ///
    /// - Parameter seed: The seed.
    public init(seed: UInt64) {
        self.seed = seed
    }

    /// Reads a line.
    ///
    /// - Parameter description: The line; `nil` comes of a text that is none.
    public init?(_ description: String) {
        self.init(seed: 0)
        var hasSeed = false
        for part in description.split(separator: ";") {
            guard let equals = part.firstIndex(of: "=") else { return nil }
            let value = String(part[part.index(after: equals)...])
            switch part[..<equals] {
            case "seed":
                guard let number = UInt64(value) else { return nil }
                seed = number
                hasSeed = true
            case "order":
                guard value == "first" else { return nil }
                isFirstComeFirstServed = true
            case "faults":
                guard let list = Fault.list(value) else { return nil }
                faults = list
            case let name where name.hasPrefix("pick."):
                guard let number = Int(value) else { return nil }
                picks[String(name.dropFirst(5))] = number
            default: return nil
            }
        }
        guard hasSeed else { return nil }
    }

    /// The line.
    public var description: String {
        var parts = ["seed=\(seed)"]
        if isFirstComeFirstServed { parts.append("order=first") }
        for (name, value) in picks.sorted(by: { $0.key < $1.key }) { parts.append("pick.\(name)=\(value)") }
        if let faults { parts.append("faults=" + faults.map(\.description).sorted().joined(separator: ",")) }
        return parts.joined(separator: ";")
    }
}
