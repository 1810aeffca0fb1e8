// SPDX-License-Identifier: Apache-2.0

/// A command line that cannot be understood.
public struct UsageError: Error {
    /// What is wrong with it.
    public let message: String

    /// Creates an error.
    ///
    /// - Parameter message: What is wrong with it.
    public init(_ message: String) {
        self.message = message
    }
}

/// Reads a command line option by option, each as `--name value` or `--name=value`.
///
/// ```swift
/// var reader = CommandLineReader(CommandLine.arguments.dropFirst())
/// while let option = reader.next() {
///     switch option {
///     case "--seed": seed = try reader.number(from: 0)
///     case "--json": json = try reader.flag()
///     default: throw reader.unknownOption
///     }
/// }
/// ```
public struct CommandLineReader {
    private var rest: ArraySlice<String>
    private var argument = ""
    private var name = ""
    private var attached: String?

    /// Creates a reader.
    ///
    /// - Parameter arguments: The command line without the name of the program.
    public init(_ arguments: some Sequence<String>) {
        rest = Array(arguments)[...]
    }

    /// Goes on to the next option.
    ///
    /// - Returns: Its name, or a word that is no option; `nil` at the end.
    public mutating func next() -> String? {
        guard let argument = rest.popFirst() else { return nil }
        (self.argument, name, attached) = (argument, argument, nil)
        if argument.hasPrefix("--"), let equals = argument.firstIndex(of: "=") {
            name = String(argument[..<equals])
            attached = String(argument[argument.index(after: equals)...])
        }
        return name
    }

    /// That there is no such option.
    public var unknownOption: UsageError { UsageError("There is no option '\(argument)'.") }

    /// Notes that the option is there.
    ///
    /// - Returns: `true`.
    /// - Throws: `UsageError` if it has a value.
    public func flag() throws(UsageError) -> Bool {
        if attached != nil { throw UsageError("\(name) takes no value.") }
        return true
    }

    /// Reads the value of the option.
    ///
    /// - Returns: The value.
    /// - Throws: `UsageError` if there is none.
    public mutating func value() throws(UsageError) -> String {
        if let attached { return attached }
        guard let value = rest.popFirst() else { throw UsageError("\(name) needs a value.") }
        return value
    }

    /// Reads a whole number.
    ///
    /// - Parameters:
    ///   - least: The smallest that it may be.
    ///   - most: The largest that it may be.
    /// - Returns: The number.
    /// - Throws: `UsageError`.
    public mutating func number<Number: FixedWidthInteger>(
        from least: Number, to most: Number = .max
    ) throws(UsageError) -> Number {
        let text = try value()
        guard let number = Number(text), (least...most).contains(number) else {
            let range = most == .max ? "from \(least)" : "from \(least) to \(most)"
            throw UsageError("\(name) takes a whole number \(range), not '\(text)'.")
        }
        return number
    }

    /// Reads a number that need not be whole.
    ///
    /// - Parameters:
    ///   - range: What it may be.
    ///   - unit: In what it is, such as "a number of seconds".
    /// - Returns: The number.
    /// - Throws: `UsageError`.
    public mutating func fraction(
        in range: ClosedRange<Double>, as unit: String = "a number"
    ) throws(UsageError) -> Double {
        let text = try value()
        guard let number = Double(text), range.contains(number) else {
            throw UsageError(
                "\(name) takes \(unit) from \(Self.plain(range.lowerBound)) to \(Self.plain(range.upperBound)), not '\(text)'."
            )
        }
        return number
    }

    /// Reads a probability, from 0 to 1.
    ///
    /// - Returns: The probability.
    /// - Throws: `UsageError`.
    public mutating func probability() throws(UsageError) -> Double {
        try fraction(in: 0...1)
    }

    /// Reads one of some names.
    ///
    /// - Returns: What it stands for.
    /// - Throws: `UsageError`, which lists them.
    public mutating func choice<Choice: RawRepresentable<String> & CaseIterable>() throws(UsageError) -> Choice {
        let text = try value()
        guard let choice = Choice(rawValue: text) else {
            throw UsageError("\(name) takes \(Choice.allCases.map(\.rawValue).inWords("or")), not '\(text)'.")
        }
        return choice
    }

    /// Reads some names, separated by commas.
    ///
    /// - Parameter conjunction: What stands before the last one where they are listed.
    /// - Returns: What they stand for; at least one.
    /// - Throws: `UsageError`, which lists them.
    public mutating func choices<Choice: RawRepresentable<String> & CaseIterable & Hashable>(
        _ conjunction: String = "or"
    ) throws(UsageError) -> Set<Choice> {
        let text = try value()
        let parts = text.split(whereSeparator: { $0 == "," || $0 == "|" })
        let found = parts.compactMap { Choice(rawValue: String($0)) }
        guard !found.isEmpty, found.count == parts.count else {
            throw UsageError("\(name) takes \(Choice.allCases.map(\.rawValue).inWords(conjunction)), not '\(text)'.")
        }
        return Set(found)
    }

    /// Without the part behind the point if that is nothing.
    private static func plain(_ number: Double) -> String {
        number == number.rounded() ? "\(Int(number))" : "\(number)"
    }
}

extension [String] {
    /// The words as one says them, such as "a, b or c".
    ///
    /// - Parameter conjunction: What stands before the last one.
    /// - Returns: The text.
    public func inWords(_ conjunction: String) -> String {
        count < 2 ? first ?? "" : dropLast().joined(separator: ", ") + " \(conjunction) " + self[count - 1]
    }
}
