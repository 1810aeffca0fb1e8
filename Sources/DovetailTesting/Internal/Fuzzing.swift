// SPDX-License-Identifier: Apache-2.0

package import DovetailCore

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Gives a decoder many inputs, and says at which one it broke its promise.
///
/// Two thousand inputs, unless the environment asks for more: `DOVETAIL_FUZZ_SECONDS` for so many seconds of inputs, never the
/// same again in one run; `DOVETAIL_FUZZ_LAST` names a file that holds the last input, for one that ends the process.
package enum Fuzzing {
    /// What was found.
    package struct Finding: Error, CustomStringConvertible {
        let decoder: String
        let input: Bytes
        let reason: String

        /// The input as text that can be put into a test.
        package var description: String {
            "\(decoder): \(reason)\nInput: \(input.map { String($0, radix: 16) }.map { $0.count == 1 ? "0\($0)" : $0 }.joined())"
                + "\nAs text: \(String(decoding: input.prefix(2000), as: UTF8.self).debugDescription)"
        }
    }

    /// A promise that was broken.
    package struct Broken: Error, CustomStringConvertible {
        package let description: String

        package init(_ description: String) { self.description = description }
    }

    private static let inputs = 2000

    /// Runs a property on the valid inputs, and on many made from them.
    ///
    /// - Parameters:
    ///   - decoder: The name of what is tried.
    ///   - corpus: Valid inputs.
    ///   - tokens: Pieces that mean something to the decoder.
    ///   - property: Throws if a promise is broken.
    /// - Throws: ``Finding``.
    package static func run(
        _ decoder: String, _ corpus: [Bytes], tokens: [String] = [], _ property: (Bytes) async throws -> Void
    ) async throws {
        for input in corpus { try await check(decoder, input, property) }
        let time = Runtime.system.time
        let end = seconds.map { time.monotonic() + .seconds($0) }
        var seed: UInt64 = 1
        repeat {
            var mutator = InputMutator(corpus, tokens: tokens, seed: seed)
            for _ in 0..<inputs { try await check(decoder, mutator.next(), property) }
            seed += 1
        } while end.map { time.monotonic() < $0 } ?? false
    }

    /// How long to go on; `nil` for a fixed number of inputs.
    private static let seconds = variable("DOVETAIL_FUZZ_SECONDS").flatMap(Int.init)
    private static let file = variable("DOVETAIL_FUZZ_LAST")

    private static func variable(_ name: String) -> String? {
        // Read before tests run, which set no variables.
        getenv(name).map { String(cString: $0) }
    }

    private static func note(_ input: Bytes) {
        guard let file, let handle = fopen(file, "w") else { return }
        _ = input.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, handle) }
        fclose(handle)
    }

    private static func check(
        _ decoder: String, _ input: Bytes, _ property: (Bytes) async throws -> Void
    ) async throws {
        note(input)
        do {
            try await property(input)
        } catch let finding as Finding {
            throw finding
        } catch {
            throw Finding(decoder: decoder, input: input, reason: "\(error)")
        }
    }
}
