// swift-tools-version: 6.2
import PackageDescription

/// The rooms of the house: every module with the modules it may use.
///
/// An arrow points to the core; nothing depends on an adapter.
let rooms: [(name: String, uses: [String])] = [
    ("DovetailCore", []),
    ("DovetailConsumer", ["DovetailCore"]),
    ("DovetailResilience", ["DovetailCore"]),
    ("DovetailOutbox", ["DovetailCore"]),
    ("DovetailIdempotency", ["DovetailCore", "DovetailConsumer"]),
    ("DovetailSimulation", ["DovetailCore", "DovetailConsumer"]),
    (
        "DovetailTesting",
        ["DovetailCore", "DovetailConsumer", "DovetailOutbox", "DovetailIdempotency", "DovetailSimulation"]
    ),
    (
        "Dovetail",
        ["DovetailCore", "DovetailConsumer", "DovetailResilience", "DovetailOutbox", "DovetailIdempotency"]
    ),
]

/// The test targets: one for each room, the conformance checks, and the code of the README.
let tests: [(name: String, uses: [String])] = [
    ("DovetailCoreTests", ["DovetailCore", "DovetailSimulation", "DovetailTesting"]),
    ("DovetailConsumerTests", ["DovetailCore", "DovetailConsumer", "DovetailSimulation", "DovetailTesting"]),
    ("DovetailResilienceTests", ["DovetailCore", "DovetailResilience", "DovetailSimulation", "DovetailTesting"]),
    ("DovetailOutboxTests", ["DovetailOutbox", "DovetailTesting"]),
    ("DovetailIdempotencyTests", ["DovetailIdempotency", "DovetailTesting"]),
    ("DovetailSimulationTests", ["DovetailSimulation", "DovetailTesting"]),
    ("ConformanceTests", ["Dovetail", "DovetailTesting"]),
    ("QuickStartTests", ["Dovetail", "DovetailTesting"]),
]

/// The examples: one executable each, run by `swift run NAME`, with the files that come along.
let examples: [(name: String, uses: [String], files: [String])] = [
    ("OrderCheckout", ["Dovetail", "DovetailSimulation"], ["orders.jsonl"])
]

let package = Package(
    name: "dovetail",
    platforms: [.macOS(.v15), .iOS(.v18), .tvOS(.v18), .watchOS(.v11), .visionOS(.v2)],
    products: rooms.map { .library(name: $0.name, targets: [$0.name]) },
    targets: rooms.map { room in
        .target(name: room.name, dependencies: room.uses.map { .target(name: $0) })
    }
        + tests.map { test in
            .testTarget(name: test.name, dependencies: test.uses.map { .target(name: $0) })
        }
        + examples.map { example in
            .executableTarget(
                name: example.name,
                dependencies: example.uses.map { .target(name: $0) },
                path: "Examples/\(example.name)",
                resources: example.files.map { .copy($0) }
            )
        },
    swiftLanguageModes: [.v6]
)

for target in package.targets {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ]
}
