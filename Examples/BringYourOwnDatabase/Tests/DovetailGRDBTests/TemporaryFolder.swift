// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A folder that goes away with its last reference.
final class TemporaryFolder: Sendable {
    private let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("grdb-\(UUID())")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }

    /// The path of a file that is not there yet.
    func newFile() -> String { url.appendingPathComponent("\(UUID()).db").path }
}
