// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Redrives are asked for here; a ``Redriver`` does them.
extension DeadLetterQueue where DB: TableDatabase {
    /// How many redrives are read at once.
    private static var jobPage: Int { 100 }

    var jobs: Table<DB, RedriveJob> { Table("dovetail.redrives", in: database) }
    private var askings: Table<DB, Int> { Table("dovetail.redrive-askings", in: database) }

    /// Says what a redrive would do, without doing it.
    ///
    /// - Parameters:
    ///   - request: What to ask for.
    ///   - examples: How many of the letters to return as examples.
    /// - Returns: What it would do.
    /// - Throws: ``DeadLetterError`` with ``DeadLetterError/Code/invalidRequest``; `DatabaseError`.
    public func plan(_ request: RedriveRequest, examples: Int = 10) async throws -> RedrivePlan {
        try request.validate()
        let store = database.deadLetterStore
        return try await database.withReadTransaction { tx in
            let total = try await store.count(request.filter, atMost: .max, in: tx)
            return RedrivePlan(
                total: total, examples: try await store.find(request.filter, after: 0, limit: examples, in: tx),
                duration: request.lettersPerSecond.map { .milliseconds(Int64(total) * 1000 / Int64($0)) },
                conflicts: try await conflicts(with: request, in: tx))
        }
    }

    /// Asks for letters to be sent again, of those that are there now.
    ///
    /// It is kept in the database and goes on after a crash. Letters that come later are not meant, not even those of messages that
    /// were sent and failed again.
    ///
    /// - Parameter request: Which letters, and how carefully.
    /// - Returns: The redrive.
    /// - Throws: ``DeadLetterError`` with ``DeadLetterError/Code/redriveActive`` if one is under way that may mean the same letters,
    ///   or ``DeadLetterError/Code/invalidRequest``; `DatabaseError`, with `versionConflict` if another was asked for meanwhile.
    @discardableResult
    public func redrive(_ request: RedriveRequest) async throws -> RedriveJob {
        try request.validate()
        var request = request
        request.note = runtime.redacted(request.note, of: nil)
        let (asked, store, runtime) = (request, database.deadLetterStore, runtime)
        let job = try await database.withTransaction { tx in
            // So that of two who ask at once, one sees the other's redrive or fails.
            let asking = try await askings.entry("last", in: tx)
            try await askings.put((asking?.row ?? 0) + 1, at: "last", expecting: asking?.version ?? 0, in: tx)
            if let other = try await conflicts(with: asked, in: tx).first {
                throw DeadLetterError(
                    .redriveActive,
                    "The redrive \(other.id) is \(other.state) and may mean the same letters, which would be sent twice. Wait for "
                        + "it, cancel it, or ask for letters that differ from its own in a queue, reason, type or the like."
                )
            }
            let job = RedriveJob(
                id: runtime.makeUUID().description, request: asked, time: runtime.time.now(),
                cutOff: try await store.lastPlace(in: tx),
                total: try await store.count(asked.filter, atMost: .max, in: tx))
            try await jobs.put(job, at: job.id, expecting: 0, in: tx)
            return job
        }
        runtime.instrument?.record(RedriveStateChanged(job))
        return job
    }

    private func conflicts(with request: RedriveRequest, in tx: DB.Transaction) async throws -> [RedriveJob] {
        try await allJobs(in: tx).map(\.row)
            .filter { $0.state.isActive && !$0.request.filter.excludes(request.filter) }
    }

    /// Reads a redrive.
    ///
    /// - Parameter id: The redrive.
    /// - Returns: The redrive.
    /// - Throws: ``DeadLetterError`` with ``DeadLetterError/Code/noSuchRedrive``; `DatabaseError`.
    public func redriveJob(_ id: String) async throws -> RedriveJob {
        try await database.withReadTransaction { tx in try await entry(of: id, in: tx).row }
    }

    /// Reads all redrives that are remembered, the first that was asked for first.
    ///
    /// - Returns: The redrives.
    /// - Throws: `DatabaseError`.
    public func redriveJobs() async throws -> [RedriveJob] {
        try await database.withReadTransaction { tx in try await allJobs(in: tx).map(\.row) }
    }

    /// Stops a redrive for good.
    ///
    /// What was sent until then stays sent; at most one batch more is.
    ///
    /// - Parameter id: The redrive; nothing happens if it has ended.
    /// - Returns: The redrive as it is now.
    /// - Throws: ``DeadLetterError`` with ``DeadLetterError/Code/noSuchRedrive``; `DatabaseError`.
    @discardableResult
    public func cancelRedrive(_ id: String) async throws -> RedriveJob {
        try await changeJob(id) { job in
            guard job.state.isActive || job.state == .stopped else { return }
            job.state = .cancelled
            job.ended = runtime.time.now()
        }
    }

    /// Lets a redrive go on that has stopped by itself.
    ///
    /// Letters that went ahead are not watched again: whoever resumes it has looked at them.
    ///
    /// - Parameter id: The redrive; nothing happens if it is active.
    /// - Returns: The redrive as it is now.
    /// - Throws: ``DeadLetterError`` with ``DeadLetterError/Code/noSuchRedrive``, or ``DeadLetterError/Code/redriveEnded`` if it is
    ///   complete or cancelled; `DatabaseError`.
    @discardableResult
    public func resumeRedrive(_ id: String) async throws -> RedriveJob {
        try await changeJob(id) { job in
            if job.state.isActive { return }
            guard job.state == .stopped else {
                throw DeadLetterError(
                    .redriveEnded,
                    "The redrive \(id) is \(job.state). Ask for a new one, for the letters that are there now.")
            }
            job.state = .waiting
            job.isCanaryOver = true
            job.ended = nil
            job.problem = ""
        }
    }

    private func changeJob(_ id: String, _ change: (inout RedriveJob) throws -> Void) async throws -> RedriveJob {
        let (before, after) = try await database.withTransaction { tx in
            let entry = try await entry(of: id, in: tx)
            var job = entry.row
            try change(&job)
            if job != entry.row { try await jobs.put(job, at: id, expecting: entry.version, in: tx) }
            return (entry.row, job)
        }
        if before.state != after.state { runtime.instrument?.record(RedriveStateChanged(after)) }
        return after
    }

    func entry(of id: String, in tx: DB.Transaction) async throws -> Table<DB, RedriveJob>.Entry {
        guard let entry = try await jobs.entry(id, in: tx) else {
            throw DeadLetterError(
                .noSuchRedrive,
                "There is no redrive '\(id)'. Those that ended are forgotten with the letters of their time.")
        }
        return entry
    }

    func allJobs(in tx: DB.Transaction) async throws -> [Table<DB, RedriveJob>.Entry] {
        var entries: [Table<DB, RedriveJob>.Entry] = []
        while true {
            let page = try await jobs.scan(after: entries.last?.key, limit: Self.jobPage, in: tx)
            entries += page
            if page.count < Self.jobPage { return entries }
        }
    }

    /// Forgets redrives that ended before a time.
    func forgetJobs(before time: Timestamp, limit: Int) async throws -> Int {
        try await database.withTransaction { tx in
            let old = try await allJobs(in: tx).filter { entry in
                !entry.row.state.isActive && entry.row.ended.map { $0 < time } ?? false
            }
            for entry in old.prefix(limit) { try await jobs.delete(entry.key, in: tx) }
            return min(limit, old.count)
        }
    }
}
