// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "bring-your-own-database",
    platforms: [.macOS(.v15)],
    products: [.library(name: "DovetailGRDB", targets: ["DovetailGRDB"])],
    dependencies: [
        .package(name: "dovetail", path: "../.."),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
    ],
    targets: [
        // The adapter: copy it into a project of yours.
        .target(
            name: "DovetailGRDB",
            dependencies: [
                .product(name: "DovetailBulkhead", package: "dovetail"),
                .product(name: "DovetailCore", package: "dovetail"),
                .product(name: "DovetailSQL", package: "dovetail"),
                .product(name: "GRDB", package: "GRDB.swift"),
            ]
        ),
        .executableTarget(
            name: "BringYourOwnDatabase",
            dependencies: [
                "DovetailGRDB",
                .product(name: "Dovetail", package: "dovetail"),
                .product(name: "DovetailSQL", package: "dovetail"),
                .product(name: "GRDB", package: "GRDB.swift"),
            ]
        ),
        .testTarget(
            name: "DovetailGRDBTests",
            dependencies: [
                "DovetailGRDB",
                .product(name: "Dovetail", package: "dovetail"),
                .product(name: "DovetailSQL", package: "dovetail"),
                .product(name: "DovetailTesting", package: "dovetail"),
                .product(name: "GRDB", package: "GRDB.swift"),
            ]
        ),
    ],
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
