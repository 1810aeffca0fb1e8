// SPDX-License-Identifier: Apache-2.0

/// One thing that went wrong in a run, named so that it can happen again in another run, or be left out of it.
///
/// The name says what it was, whom it hit, and at which opportunity: `publish-refused:payments#3` is the third envelope that
/// payments published. Leaving one fault out does not change the names of those of other kinds and places.
public struct Fault: Sendable, Hashable, LosslessStringConvertible {
    /// What went wrong, such as `publish-refused`.
    public let kind: String

    /// Whom it hit: a service, a service with an effect, a group with a topic, or `world`.
    public let place: String

    /// At which opportunity of this kind and place, counted from 1.
    public let number: Int

    /// Creates a fault.
    ///
    /// - Parameters:
    ///   - kind: What goes wrong.
    ///   - place: Whom it hits; spaces and commas become hyphens.
    ///   - number: At which opportunity, counted from 1.
    public init(kind: String, place: String, number: Int) {
        self.kind = kind
        self.place =
            place.contains(where: { $0 == " " || $0 == "," })
            ? String(place.map { $0 == " " || $0 == "," ? "-" : $0 }) : place
        self.number = number
    }

    /// Reads the name of a fault.
    ///
    /// - Parameter description: The name; `nil` comes of a text that is none.
    public init?(_ description: String) {
        guard let colon = description.firstIndex(of: ":"), let hash = description.lastIndex(of: "#"), colon < hash,
            let number = Int(description[description.index(after: hash)...]), number > 0
        else { return nil }
        self.init(
            kind: String(description[..<colon]), place: String(description[description.index(after: colon)..<hash]),
            number: number)
    }

    /// The name.
    public var description: String { "\(kind):\(place)#\(number)" }

    /// Reads the names of faults, as a replay line gives them.
    ///
    /// - Parameter names: The names, with commas between them; an empty text for no fault at all.
    /// - Returns: The faults; `nil` if one of the names is none.
    public static func list(_ names: String) -> Set<Fault>? {
        var faults: Set<Fault> = []
        for name in names.split(separator: ",") {
            guard let fault = Fault(String(name)) else { return nil }
            faults.insert(fault)
        }
        return faults
    }
}
