// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that the library keeps depending on nothing.
let rooms = [
    "DovetailBulkhead", "DovetailCircuitBreaker", "DovetailClaimCheck", "DovetailCore", "DovetailConsumer",
    "DovetailDeadLetters", "DovetailIdempotency", "DovetailOutbox", "DovetailResilience", "DovetailSQL", "DovetailSaga",
    "DovetailSimulation",
]

/// The adapters that are measured with a trait, each beside its library in plain C.
let adapters = [
    (trait: "SQLite", library: "sqlite3"), (trait: "PostgreSQL", library: "pq"), (trait: "Kafka", library: "rdkafka"),
    (trait: "RabbitMQ", library: "rabbitmq"),
]

let package = Package(
    name: "dovetail-benchmarks",
    platforms: [.macOS(.v15)],
    traits: Set(
        adapters.map {
            .trait(name: $0.trait, description: "Measures \($0.trait) as well; needs the headers of \($0.library).")
        }),
    dependencies: [
        .package(
            name: "dovetail", path: "../..",
            traits: Set(adapters.map { .trait(name: $0.trait, condition: .when(traits: [$0.trait])) })
        ),
        // Its traits bring in packages that count allocations and retains; `Allocations` counts by itself.
        .package(url: "https://github.com/ordo-one/benchmark.git", exact: "1.38.1", traits: []),
    ],
    targets: [
        .target(
            name: "Workloads",
            dependencies: rooms.map { .product(name: $0, package: "dovetail") } + ["CFloors"]
                + adapters.flatMap { adapter -> [Target.Dependency] in
                    [
                        .product(
                            name: "Dovetail\(adapter.trait)", package: "dovetail",
                            condition: .when(traits: [adapter.trait])),
                        .target(name: "C\(adapter.trait)Floors", condition: .when(traits: [adapter.trait])),
                    ]
                }
        ),
        .target(name: "CFloors"),
        .target(name: "CAllocationCounter"),
        .executableTarget(name: "Ratios", dependencies: ["Workloads"]),
        .executableTarget(name: "Instructions", dependencies: ["Workloads"]),
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
    ]
        + adapters.map { adapter in
            .target(
                name: "C\(adapter.trait)Floors",
                dependencies: ["CFloors"],
                cSettings: [.define("DOVETAIL_\(adapter.trait.uppercased())_FLOORS", .when(traits: [adapter.trait]))],
                linkerSettings: [.linkedLibrary(adapter.library, .when(traits: [adapter.trait]))]
            )
        },
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
