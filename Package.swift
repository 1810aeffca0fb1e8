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
    ("DovetailDeadLetters", ["DovetailCore", "DovetailConsumer"]),
    ("DovetailClaimCheck", ["DovetailCore"]),
    ("DovetailReplica", ["DovetailCore", "DovetailConsumer"]),
    ("DovetailSaga", ["DovetailCore", "DovetailConsumer", "DovetailOutbox", "DovetailIdempotency"]),
    ("DovetailCircuitBreaker", ["DovetailCore", "DovetailResilience"]),
    ("DovetailBulkhead", ["DovetailCore", "DovetailResilience"]),
    ("DovetailSimulation", ["DovetailCore", "DovetailConsumer"]),
    (
        "DovetailTesting",
        [
            "DovetailCore", "DovetailConsumer", "DovetailOutbox", "DovetailIdempotency", "DovetailClaimCheck",
            "DovetailReplica", "DovetailSaga", "DovetailSimulation",
        ]
    ),
    (
        "Dovetail",
        [
            "DovetailCore", "DovetailConsumer", "DovetailResilience", "DovetailOutbox", "DovetailIdempotency",
            "DovetailDeadLetters", "DovetailClaimCheck", "DovetailReplica", "DovetailSaga", "DovetailCircuitBreaker",
            "DovetailBulkhead",
        ]
    ),
    ("DovetailSQL", ["DovetailCore", "DovetailConsumer", "DovetailOutbox", "DovetailIdempotency", "DovetailSaga"]),
]

/// The adapters: each stands on a C library of the system, behind a trait that is off by default.
///
/// With its trait off, an adapter still builds, needs no library, and naming its types says which trait to turn on.
let adapters: [(name: String, uses: [String], trait: String, library: String)] = [
    ("DovetailSQLite", ["DovetailCore", "DovetailSQL"], "SQLite", "CSQLite"),
    ("DovetailPostgreSQL", ["DovetailCore", "DovetailOutbox", "DovetailSQL"], "PostgreSQL", "CPostgreSQL"),
    ("DovetailKafka", ["DovetailCore"], "Kafka", "CKafka"),
    ("DovetailRabbitMQ", ["DovetailCore"], "RabbitMQ", "CRabbitMQ"),
]

/// The test targets: one for each room, the conformance checks, and the code of the README.
let tests: [(name: String, uses: [String])] = [
    ("DovetailCoreTests", ["DovetailCore", "DovetailSimulation", "DovetailTesting", "TestSupport"]),
    ("DovetailConsumerTests", ["DovetailCore", "DovetailConsumer", "DovetailSimulation", "DovetailTesting"]),
    ("DovetailResilienceTests", ["DovetailCore", "DovetailResilience", "DovetailSimulation", "DovetailTesting"]),
    ("DovetailOutboxTests", ["DovetailOutbox", "DovetailTesting"]),
    ("DovetailIdempotencyTests", ["DovetailIdempotency", "DovetailTesting"]),
    (
        "DovetailDeadLettersTests",
        ["DovetailDeadLetters", "DovetailConsumer", "DovetailIdempotency", "DovetailOutbox", "DovetailTesting"]
    ),
    ("DovetailClaimCheckTests", ["DovetailClaimCheck", "DovetailConsumer", "DovetailOutbox", "DovetailTesting"]),
    ("DovetailReplicaTests", ["DovetailReplica", "DovetailConsumer", "DovetailTesting"]),
    (
        "DovetailSagaTests",
        [
            "DovetailSaga", "DovetailConsumer", "DovetailOutbox", "DovetailSimulation", "DovetailTesting",
            "SagaScenarios",
        ]
    ),
    (
        "DovetailSimulationTests",
        ["DovetailConsumer", "DovetailOutbox", "DovetailSimulation", "DovetailTesting"]
    ),
    ("DovetailTestingTests", ["Dovetail", "DovetailSimulation", "DovetailTesting"]),
    ("DovetailCircuitBreakerTests", ["DovetailCircuitBreaker", "DovetailSimulation", "DovetailTesting"]),
    ("DovetailBulkheadTests", ["DovetailBulkhead", "DovetailSimulation", "DovetailTesting"]),
    ("DovetailSQLTests", ["Dovetail", "DovetailSQL", "DovetailTesting", "TestSupport"]),
    (
        "DovetailSQLiteTests",
        [
            "Dovetail", "DovetailSQL", "DovetailSQLite", "DovetailTesting", "SagaScenarios", "SQLTestSupport",
            "TestSupport",
        ]
    ),
    (
        "DovetailPostgreSQLTests",
        [
            "Dovetail", "DovetailSQL", "DovetailPostgreSQL", "DovetailTesting", "SagaScenarios", "SQLTestSupport",
            "TestSupport",
        ]
    ),
    ("DovetailKafkaTests", ["Dovetail", "DovetailKafka", "DovetailRabbitMQ", "DovetailTesting", "TestSupport"]),
    ("DovetailRabbitMQTests", ["Dovetail", "DovetailRabbitMQ", "DovetailTesting", "TestSupport"]),
    ("GameDayTests", ["Dovetail", "DovetailTesting"]),
    ("ConformanceTests", ["Dovetail", "DovetailTesting"]),
    ("QuickStartTests", ["Dovetail", "DovetailTesting"]),
    (
        "ExampleTests",
        [
            "Dovetail", "DovetailSimulation", "DovetailTesting", "ExampleSupport", "OrderCheckout", "ActivityFeed",
            "CheckoutChoreography",
        ]
    ),
]

/// The examples: one executable each, run by `swift run NAME`, with the files that come along.
let examples: [(name: String, uses: [String], files: [String])] = [
    (
        "OrderCheckout",
        [
            "Dovetail", "DovetailSimulation", "DovetailSQL", "DovetailSQLite", "DovetailPostgreSQL", "DovetailKafka",
            "DovetailRabbitMQ", "ExampleSupport",
        ],
        ["orders.jsonl"]
    ),
    ("FlashSale", ["Dovetail", "DovetailSimulation", "ExampleSupport"], []),
    ("ActivityFeed", ["Dovetail", "DovetailSimulation", "ExampleSupport"], []),
    ("DeadLetterDesk", ["Dovetail", "DovetailSQL", "DovetailSQLite", "ExampleSupport"], []),
    ("StreamingFallback", ["Dovetail", "DovetailSimulation", "ExampleSupport"], []),
    ("CheckoutChoreography", ["Dovetail", "DovetailSimulation", "ExampleSupport"], []),
    (
        "TripSaga",
        [
            "Dovetail", "DovetailSimulation", "DovetailSQL", "DovetailSQLite", "DovetailPostgreSQL", "ExampleSupport",
        ], []
    ),
    ("GameDay", ["Dovetail", "DovetailSimulation", "ExampleSupport"], []),
]

let package = Package(
    name: "dovetail",
    platforms: [.macOS(.v15), .iOS(.v18), .tvOS(.v18), .watchOS(.v11), .visionOS(.v2)],
    products: (rooms.map(\.name) + adapters.map(\.name)).map { .library(name: $0, targets: [$0]) },
    traits: [
        .trait(name: "SQLite", description: "SQLite databases, by the system's libsqlite3 (DovetailSQLite)."),
        .trait(name: "PostgreSQL", description: "PostgreSQL databases, by the system's libpq (DovetailPostgreSQL)."),
        .trait(name: "Kafka", description: "The Kafka transport, by the system's librdkafka (DovetailKafka)."),
        .trait(
            name: "RabbitMQ", description: "The RabbitMQ transport, by the system's librabbitmq (DovetailRabbitMQ)."),
    ],
    targets: rooms.map { room in
        .target(name: room.name, dependencies: room.uses.map { .target(name: $0) })
    }
        + adapters.map { adapter in
            .target(
                name: adapter.name,
                dependencies: adapter.uses.map { .target(name: $0) }
                    + [.target(name: adapter.library, condition: .when(traits: [adapter.trait]))]
            )
        }
        // Without `pkgConfig:`, which would print warnings to everyone who uses any part of this package.
        + adapters.map { .systemLibrary(name: $0.library) }
        + tests.map { test in
            .testTarget(
                name: test.name,
                // The tests of an adapter may use its library too, to put trouble in its way.
                dependencies: test.uses.map { .target(name: $0) }
                    + adapters.filter { test.uses.contains($0.name) }
                    .map { .target(name: $0.library, condition: .when(traits: [$0.trait])) }
            )
        }
        // What the tests of several rooms share: trouble with connections, a load to have it under, values and clocks.
        + [.target(name: "TestSupport", dependencies: ["DovetailCore"], path: "Tests/Support")]
        // What the tests of databases that speak SQL share.
        + [.target(name: "SQLTestSupport", dependencies: ["DovetailSQL"], path: "Tests/SQLSupport")]
        // What is killed under the load of a broker, see Tests/Crashes/brokers.
        + [
            .executableTarget(
                name: "BrokerLoad",
                dependencies: [
                    "Dovetail", "DovetailSQL", "DovetailSQLite", "DovetailKafka", "DovetailRabbitMQ", "ExampleSupport",
                ],
                path: "Tests/Crashes/BrokerLoad")
        ]
        // What the tests of engines on each database share.
        + [
            .target(
                name: "SagaScenarios",
                dependencies: [
                    "DovetailCore", "DovetailConsumer", "DovetailIdempotency", "DovetailOutbox", "DovetailSaga",
                    "DovetailSimulation",
                ], path: "Tests/SagaScenarios")
        ]
        // What the examples share: command lines and the texts they print.
        + [.target(name: "ExampleSupport", path: "Examples/Support")]
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

for target in package.targets where target.type != .system {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ]
}
