// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation

/// A service of the shop that runs as a process of its own.
final class ServiceProcess {
    let name: Options.ServiceName
    private(set) var kills = 0
    /// When it was killed; `nil` while it runs.
    private(set) var killedAt: MonotonicInstant?
    private let arguments: [String]
    private let log: URL
    private var process: Process?

    init(_ name: Options.ServiceName, arguments: [String], log: URL) {
        self.name = name
        self.arguments = arguments
        self.log = log
    }

    var identifier: Int32 { process?.processIdentifier ?? 0 }
    var isRunning: Bool { process?.isRunning ?? false }

    func start() throws {
        guard let program = Self.program else { throw Unusable(message: "the program cannot find its own file.") }
        let process = Process()
        process.executableURL = program
        process.arguments = ["--service", name.rawValue, "--member", name.rawValue] + arguments
        var environment = ProcessInfo.processInfo.environment
        environment[ParentWatch.variable] = String(getpid())
        process.environment = environment
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        if !FileManager.default.fileExists(atPath: log.path) { try Data().write(to: log) }
        let handle = try FileHandle(forWritingTo: log)
        try handle.seekToEnd()
        process.standardError = handle
        try process.run()
        self.process = process
        killedAt = nil
    }

    /// Ends the process without a word, as a crash or a power cut would.
    func kill(at now: MonotonicInstant) {
        guard isRunning else { return }
        Foundation.kill(identifier, SIGKILL)
        process?.waitUntilExit()
        kills += 1
        killedAt = now
    }

    /// Asks the process to end in order, and waits until it has.
    func stop() {
        guard isRunning else { return }
        process?.terminate()
        process?.waitUntilExit()
    }

    /// The last line that the process complained with.
    var lastComplaint: String? {
        (try? String(contentsOf: log, encoding: .utf8))?.split(separator: "\n").last.map(String.init)
    }

    private static var program: URL? {
        Bundle.main.executableURL ?? CommandLine.arguments.first.map { URL(fileURLWithPath: $0) }
    }
}

/// Ends a service process whose tour has ended without stopping it.
struct ParentWatch: Service {
    static let variable = "ORDER_CHECKOUT_PARENT"

    private let parent: Int32

    /// - Returns: `nil` if nobody asked for it.
    init?() {
        guard let text = ProcessInfo.processInfo.environment[Self.variable], let parent = Int32(text) else {
            return nil
        }
        self.parent = parent
    }

    func run() async throws {
        while getppid() == parent { try await Runtime.current.time.sleep(for: .milliseconds(500)) }
        throw Unusable(message: "the tour that started this service has ended.")
    }
}
