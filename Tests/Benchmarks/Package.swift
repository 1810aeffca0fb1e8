// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that the library keeps depending on nothing.
let rooms = [
    "DovetailCore", "DovetailConsumer", "DovetailIdempotency", "DovetailOutbox", "DovetailClaimCheck",
    "DovetailResilience", "DovetailSimulation",
]

let package = Package(
    name: "dovetail-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "dovetail", path: "../.."),
        // Its traits bring in packages that count allocations and retains; `Allocations` counts by itself.
        .package(url: "https://github.com/ordo-one/benchmark.git", exact: "1.38.1", traits: []),
    ],
    targets: [
        .target(
            name: "Workloads",
            dependencies: rooms.map { .product(name: $0, package: "dovetail") } + ["CFloors"]
        ),
        .target(name: "CFloors"),
        .target(name: "CAllocationCounter"),
        .executableTarget(name: "Ratios", dependencies: ["Workloads"]),
        .executableTarget(
            name: "FlatMemory",
            dependencies: ["DovetailCore", "DovetailClaimCheck"].map { .product(name: $0, package: "dovetail") }
        ),
        .executableTarget(name: "Allocations", dependencies: ["Workloads", "CAllocationCounter"]),
        .executableTarget(
            name: "DovetailBenchmarks",
            dependencies: ["Workloads", .product(name: "Benchmark", package: "benchmark")],
            path: "Benchmarks/DovetailBenchmarks",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        ),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets where !target.name.hasPrefix("C") {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ]
}
