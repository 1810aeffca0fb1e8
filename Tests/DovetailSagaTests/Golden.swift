// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// Compares a text with a file of `Tests/Golden`.
///
/// `DOVETAIL_GOLDEN=write` writes the files anew, to be looked at before they are kept.
func checkGolden(_ text: String, _ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let file = tests.appending(path: "Golden/\(name)")
    if ProcessInfo.processInfo.environment["DOVETAIL_GOLDEN"] == "write" {
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }
    let expected = String(decoding: try Data(contentsOf: file), as: UTF8.self)
    #expect(text == expected, "\(name) differs", sourceLocation: sourceLocation)
}
