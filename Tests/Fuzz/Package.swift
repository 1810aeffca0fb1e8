// swift-tools-version: 6.2
import PackageDescription

// Not part of the library: built by `run` with coverage for libFuzzer.
let package = Package(
    name: "fuzz",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "dovetail", path: "../..")],
    targets: [
        .target(name: "CFuzzer"),
        .executableTarget(name: "Fuzz", dependencies: ["CFuzzer", .product(name: "Dovetail", package: "dovetail")]),
    ],
    swiftLanguageModes: [.v6]
)
