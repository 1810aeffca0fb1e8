// SPDX-License-Identifier: Apache-2.0

/// What the command line asks for.
struct Options {
    static let help = """
        Measures paths of the library beside the least that the same work costs, and prints one table. Before it come the
        bytes of what is kept in memory.

        USAGE: Ratios [--only TEXT] [--runs N] [--scale X] [--subject-only]

          --only TEXT     Only rows whose name contains the text, in any case; may be given again.
          --runs N        How often each side is run; 7 unless given. The median is printed.
          --scale X       How much work a run does, 1 unless given.
          --subject-only  Leaves the floors out, for a profiler.
        """

    var only: [String] = []
    var runs = 7
    var scale = 1.0
    var leavesFloorsOut = false

    init(_ arguments: some Sequence<String>) throws(OptionsError) {
        var rest = Array(arguments)[...]
        while let option = rest.popFirst() {
            switch option {
            case "--only": only.append(try Self.value(of: option, in: &rest) { $0.lowercased() })
            case "--runs": runs = max(1, try Self.value(of: option, in: &rest) { Int($0) })
            case "--scale": scale = try Self.value(of: option, in: &rest) { Double($0) }
            case "--subject-only": leavesFloorsOut = true
            case "--help", "-h": throw OptionsError(message: nil)
            default: throw OptionsError(message: "Unknown option '\(option)'.")
            }
        }
    }

    func includes(_ name: String) -> Bool {
        only.isEmpty || only.contains { name.lowercased().contains($0) }
    }

    private static func value<Value>(
        of option: String, in rest: inout ArraySlice<String>, _ parse: (String) -> Value?
    ) throws(OptionsError) -> Value {
        guard let text = rest.popFirst(), let value = parse(text) else {
            throw OptionsError(message: "'\(option)' needs a value.")
        }
        return value
    }
}

/// The command line cannot be understood; without a message, help was asked for.
struct OptionsError: Error {
    let message: String?
}
