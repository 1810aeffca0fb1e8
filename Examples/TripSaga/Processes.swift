// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Foundation
import Synchronization

/// Two engines as processes of their own, one of which is killed now and then and started again.
final class Processes: Sendable {
    /// How often an engine was killed.
    var kills: Int { count.withLock { $0 } }

    private let count = Mutex(0)
    private let options: Options

    init(options: Options) {
        self.options = options
    }

    func run() async throws {
        var engines = try [start(), start()]
        defer {
            for engine in engines where engine.isRunning {
                kill(engine.processIdentifier, SIGKILL)
                engine.waitUntilExit()
            }
        }
        let random = SeededRandom(seed: options.seed)
        while true {
            try await Task.sleep(for: .milliseconds(300 + Int(random.next() % 900)))
            let index = Int(random.next() % 2)
            // Without a word, as a crash or a power cut would.
            kill(engines[index].processIdentifier, SIGKILL)
            engines[index].waitUntilExit()
            count.withLock { $0 += 1 }
            engines[index] = try start()
        }
    }

    private func start() throws -> Process {
        let process = Process()
        process.executableURL =
            Bundle.main.executableURL ?? URL(fileURLWithPath: CommandLine.arguments.first ?? "TripSaga")
        process.arguments =
            [
                "--engine", "--database", options.database.text, "--seed", "\(options.seed)", "--faults",
                "\(options.faults)", "--trips", "\(options.trips)",
            ] + (options.without.isEmpty ? [] : ["--without", options.without.map(\.rawValue).joined(separator: ",")])
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }
}

/// Ends an engine process whose parent has ended.
struct Orphanage: Service {
    private let parent = getppid()

    func run() async throws {
        while getppid() == parent { try await Runtime.current.time.sleep(for: .milliseconds(500)) }
        throw Lasting.Unusable(message: "the run that started this engine has ended.")
    }
}
