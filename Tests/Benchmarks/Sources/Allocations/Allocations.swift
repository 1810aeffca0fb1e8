// SPDX-License-Identifier: Apache-2.0

import CAllocationCounter
import Workloads

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Prints the heap allocations of each hot path, after controls that show that they are counted.
///
/// Exits 1 if a control reads wrong or a path allocates more than it may.
@main
struct Allocations {
    private static let count = 100_000

    static func main() async throws {
        var isFine = true
        for (control, expected) in [
            (Controls.oneArrayEach, 1.0), (Controls.nothing, 0.0), (Controls.reallocation, 2.0),
        ] {
            let figure = try await measure(control).allocations
            let isRight = abs(figure - expected) < 0.01
            line(figure, nil, "control: \(control.name)", isRight ? "reads right" : "WRONG, must read \(expected)")
            isFine = isFine && isRight
        }
        guard isFine else {
            print("\nAllocations are not counted here, so nothing below would mean anything.")
            exit(1)
        }
        for path in Catalogue.allocating {
            let (allocations, bytes) = try await measure(path.workload)
            var verdict = ""
            if let budget = path.budget {
                let isMet = allocations <= budget + 0.01
                verdict = isMet ? "at most \(Int(budget)): met" : "at most \(Int(budget)): NOT MET"
                isFine = isFine && isMet
            }
            line(allocations, bytes, path.workload.name, verdict)
        }
        exit(isFine ? 0 : 1)
    }

    /// Allocations and bytes an operation, once everything that is made only once is there.
    @concurrent
    private static func measure(_ workload: Workload) async throws -> (allocations: Double, bytes: Double) {
        _ = try await workload.time(1_000)
        let run = try await workload.prepared(for: count)
        let before = (dovetail_allocation_count(), dovetail_allocation_bytes())
        try await run()
        let after = (dovetail_allocation_count(), dovetail_allocation_bytes())
        try await run.finish()
        return (Double(after.0 - before.0) / Double(count), Double(after.1 - before.1) / Double(count))
    }

    private static func line(_ allocations: Double, _ bytes: Double?, _ name: String, _ verdict: String) {
        let bytes = bytes.map { "\(Int($0.rounded())) bytes" } ?? ""
        print(padded(fixed(allocations), 8), padded(bytes, 12), " \(name)", verdict.isEmpty ? "" : "  [\(verdict)]")
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    private static func fixed(_ number: Double) -> String {
        let hundredths = Int((number * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }
}

/// What the counter must read rightly before it is believed.
private enum Controls {
    static let oneArrayEach = Workload.loop("an array an operation") { count in
        for index in 0..<count { sink(array(of: index)) }
    }

    static let nothing = Workload.loop("nothing") { count in
        for index in 0..<count { sink(index) }
    }

    /// One block by `malloc`, then grown by `realloc`.
    static let reallocation = Workload.loop("a block that grows once") { count in
        for _ in 0..<count {
            guard let block = malloc(16) else { continue }
            sink(block)
            let larger = realloc(block, 4096)
            sink(larger)
            free(larger)
        }
    }

    @inline(never)
    private static func array(of index: Int) -> [Int] { [index, index + 1] }
}
