// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Compares every feed with the wall, from the rows of their databases.
struct Check: Sendable {
    private(set) var activities = 0
    private(set) var entries = 0
    private(set) var doubles = 0
    private(set) var gaps = 0
    private(set) var strangers = 0
    private(set) var deadLetters = 0
    /// What is wrong, in words; the first few.
    private(set) var complaints: [String] = []

    private static let mostComplaints = 10

    /// Every activity is in every feed once, and nothing else is.
    var isClean: Bool { doubles == 0 && gaps == 0 && strangers == 0 && deadLetters == 0 }

    init(wall: Wall, feeds: [Feed]) async throws {
        let told = try await wall.rows.all().map(\.row)
        activities = told.count
        for feed in feeds {
            var found: [Int: Int] = [:]
            for entry in try await feed.entries.all() {
                entries += 1
                found[entry.row.number, default: 0] += 1
            }
            for activity in told {
                switch found.removeValue(forKey: activity.number) ?? 0 {
                case 0:
                    gaps += 1
                    complain("\(feed.person)'s feed lacks activity \(activity.number): \(activity.line).")
                case 1: break
                case let count:
                    doubles += count - 1
                    complain("\(feed.person)'s feed has activity \(activity.number) \(count) times: \(activity.line).")
                }
            }
            strangers += found.count
            if !found.isEmpty {
                complain("\(feed.person)'s feed has entries of \(found.count) activities that never were.")
            }
            deadLetters += try await DeadLetterQueue(in: feed.database).count()
        }
        if deadLetters > 0 { complain("\(deadLetters) events went to the dead letters.") }
    }

    private mutating func complain(_ text: String) {
        if complaints.count < Self.mostComplaints { complaints.append(text) }
    }
}
