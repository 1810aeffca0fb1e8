// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that the library keeps depending on nothing.
let rooms = [
    "DovetailBulkhead", "DovetailCircuitBreaker", "DovetailClaimCheck", "DovetailCore", "DovetailConsumer",
    "DovetailDeadLetters", "DovetailIdempotency", "DovetailOutbox", "DovetailResilience", "DovetailSaga",
    "DovetailSimulation",
]

let package = Package(
    name: "dovetail-benchmarks",
    platforms: [.macOS(.v15)],
    traits: [.trait(name: "SQLite", description: "Measures SQLite as well; needs the headers of libsqlite3.")],
    dependencies: [
        .package(
            name: "dovetail", path: "../..",
            traits: [.trait(name: "SQLite", condition: .when(traits: ["SQLite"]))]
        ),
        // Its traits bring in packages that count allocations and retains; `Allocations` counts by itself.
        .package(url: "https://github.com/ordo-one/benchmark.git", exact: "1.38.1", traits: []),
    ],
    targets: [
        .target(
            name: "Workloads",
            dependencies: rooms.map { .product(name: $0, package: "dovetail") } + [
                "CFloors",
                .product(name: "DovetailSQLite", package: "dovetail", condition: .when(traits: ["SQLite"])),
                .target(name: "CSQLiteFloors", condition: .when(traits: ["SQLite"])),
            ]
        ),
        .target(
            name: "CSQLiteFloors",
            cSettings: [.define("DOVETAIL_SQLITE_FLOORS", .when(traits: ["SQLite"]))],
            linkerSettings: [.linkedLibrary("sqlite3", .when(traits: ["SQLite"]))]
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
