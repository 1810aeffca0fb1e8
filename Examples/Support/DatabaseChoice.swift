// SPDX-License-Identifier: Apache-2.0

/// Where an example keeps its rows, as `--database` says.
public enum DatabaseChoice: Sendable, Equatable {
    /// In memory: they end with the process.
    case memory
    /// In this file, or in files beside it.
    case sqlite(String)
    /// In the database with this address.
    case postgresql(String)

    /// Reads the value of the option.
    ///
    /// - Parameter text: `memory`, `sqlite:FILE` or `postgresql://USER@HOST/NAME`.
    /// - Throws: `UsageError`.
    public init(_ text: String) throws(UsageError) {
        if text == "memory" {
            self = .memory
        } else if text.hasPrefix("postgresql://") || text.hasPrefix("postgres://") {
            self = .postgresql(text)
        } else if text.hasPrefix("sqlite:"), text.count > 7 {
            self = .sqlite(String(text.dropFirst(7)))
        } else {
            throw UsageError("--database takes sqlite:FILE or postgresql://USER@HOST/NAME, not '\(text)'.")
        }
    }

    /// Whether databases of two choices are used in the same way.
    ///
    /// - Parameter other: Another choice.
    /// - Returns: Whether only the place differs.
    public func isSameKind(as other: DatabaseChoice) -> Bool {
        switch (self, other) {
        case (.memory, .memory), (.sqlite, .sqlite), (.postgresql, .postgresql): true
        default: false
        }
    }

    /// The value that stands for it on a command line.
    public var text: String {
        switch self {
        case .memory: "memory"
        case .sqlite(let file): "sqlite:\(file)"
        case .postgresql(let address): address
        }
    }
}
