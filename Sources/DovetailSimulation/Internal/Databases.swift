// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// The databases of a world by name, made when they are first asked for.
final class Databases: Sendable {
    private let runtime: Runtime
    private let databases = Mutex<[(name: String, database: InMemoryDatabase)]>([])

    init(runtime: Runtime) {
        self.runtime = runtime
    }

    subscript(name: String) -> InMemoryDatabase {
        databases.withLock { databases in
            if let existing = databases.first(where: { $0.name == name }) { return existing.database }
            let made = InMemoryDatabase(runtime: runtime)
            databases.append((name, made))
            return made
        }
    }

    /// All of them, in the order in which they were made.
    var all: [(name: String, database: InMemoryDatabase)] {
        databases.withLock { $0 }
    }

    var hasPendingWork: Bool { all.contains(where: \.database.hasPendingWork) }

    var pendingWork: [String] {
        all.flatMap { name, database in
            let open = database.openTransactions
            return database.pendingWork.map { "\($0.count) in \($0.store) of the database '\(name)'" }
                + (open == 0 ? [] : ["\(open) open transactions of the database '\(name)'"])
        }
    }
}
