// SPDX-License-Identifier: Apache-2.0

import CFuzzer
import Dovetail
import Foundation

/// Gives libFuzzer one decoder: `FUZZ_DECODER` names it, and the arguments are those of libFuzzer.
///
/// With `--list` it prints the names of the decoders, with `--seeds FOLDER` it writes the decoder's valid inputs.
@main
enum Fuzz {
    static let chosen = Decoder.all.first { $0.name == ProcessInfo.processInfo.environment["FUZZ_DECODER"] }

    static func main() throws {
        let arguments = CommandLine.arguments
        if arguments.dropFirst().first == "--list" { return print(Decoder.all.map(\.name).joined(separator: "\n")) }
        guard let chosen else {
            print("Set FUZZ_DECODER to one of: \(Decoder.all.map(\.name).joined(separator: ", "))")
            exit(64)
        }
        if arguments.count == 3, arguments[1] == "--seeds" {
            for (number, seed) in chosen.seeds.enumerated() {
                try Data(seed.utf8).write(to: URL(fileURLWithPath: "\(arguments[2])/seed-\(number)"))
            }
            return
        }
        var count = CommandLine.argc
        var values: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
        exit(
            LLVMFuzzerRunDriver(&count, &values) { data, size in
                let input = Bytes(UnsafeBufferPointer(start: data, count: size))
                guard let decoder = Fuzz.chosen, decoder.holds(input) else {
                    fatalError("What was read is not written and read the same.")
                }
                return 0
            })
    }
}
