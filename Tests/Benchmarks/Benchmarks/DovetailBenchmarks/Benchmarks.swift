// SPDX-License-Identifier: Apache-2.0

import Benchmark
import Workloads

/// The rows of `Ratios` once more, with the percentiles and thresholds of the benchmark tool.
let benchmarks: @Sendable () -> Void = {
    for comparison in Catalogue.comparisons {
        let sides =
            [(comparison.name, comparison.subject)] + comparison.floors.map { ("\(comparison.name): \($0.name)", $0) }
        for (name, workload) in sides {
            let count = max(1, comparison.count / 10)
            Benchmark(
                name,
                configuration: Benchmark.Configuration(
                    metrics: [.wallClock, .cpuTotal, .throughput], maxDuration: .seconds(2), maxIterations: 50
                )
            ) { benchmark in
                let run = try await workload.prepared(for: count)
                benchmark.startMeasurement()
                try await run()
                benchmark.stopMeasurement()
                try await run.finish()
            }
        }
    }
}
