// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What every example does at its beginning and its end.
public struct Program: Sendable {
    /// The name by which it is run.
    public let name: String

    /// Creates a program.
    ///
    /// - Parameter name: The name by which it is run.
    public init(_ name: String) {
        self.name = name
    }

    /// Reads the command line, and ends the process with the status 64 if that cannot be understood.
    ///
    /// - Parameter read: Reads it.
    /// - Returns: What was read.
    public func options<Options>(_ read: (CommandLineReader) throws(UsageError) -> Options) -> Options {
        do {
            return try read(CommandLineReader(CommandLine.arguments.dropFirst()))
        } catch {
            fail("\(error.message) Try '\(name) --help'.", status: 64)
        }
    }

    /// Writes a line to the standard error.
    ///
    /// - Parameter line: The line.
    public func complain(_ line: String) {
        FileHandle.standardError.write(Data("\(name): \(line)\n".utf8))
    }

    /// Writes a line to the standard error, and ends the process.
    ///
    /// - Parameters:
    ///   - line: The line.
    ///   - status: The exit status.
    public func fail(_ line: String, status: Int32) -> Never {
        complain(line)
        exit(status)
    }

    /// Prints a text, and ends the process.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - status: The exit status.
    public func finish(_ text: String, status: Int32 = 0) -> Never {
        print(text)
        exit(status)
    }
}
