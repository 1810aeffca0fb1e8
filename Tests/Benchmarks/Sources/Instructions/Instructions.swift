// SPDX-License-Identifier: Apache-2.0

import Workloads

/// Runs one path for the script of that name, given its name and a count; without arguments it prints the names.
@main
struct Instructions {
    // Not asynchronous: callgrind does not survive the threads of the concurrency runtime.
    static func main() throws {
        let arguments = Array(CommandLine.arguments.dropFirst())
        guard arguments.count == 2, let count = Int(arguments[1]) else {
            for path in SingleThreaded.paths { print(path.name) }
            return
        }
        for path in SingleThreaded.paths where path.name == arguments[0] { try path.run(count) }
    }
}
