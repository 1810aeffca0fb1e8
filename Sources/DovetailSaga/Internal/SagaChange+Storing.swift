// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension SagaChange {
    /// Compares what the change follows from to the saga as it is stored, for a store that is to save it.
    ///
    /// - Parameter stored: The saga; `nil` if there is none.
    /// - Returns: What becomes of the save where nothing is to be written; `nil` where the change is to be written.
    /// - Throws: `DatabaseError` with `leaseLost`.
    package func outcome(on stored: SagaRow?) throws -> SagaSaved? {
        guard let stored, stored.epoch == row.epoch else {
            throw DatabaseError(
                .leaseLost,
                "The claim no longer holds the saga '\(row.id)': its lease ran out and another engine claimed it. Raise "
                    + "the lease if this happens often.")
        }
        if isWritten(in: stored) { return .repeated(signals: stored.signals) }
        guard follows(stored) else {
            throw DatabaseError(
                .leaseLost,
                "The saga '\(row.id)' is not stored as it was when the change was worked out, so nothing was written. "
                    + "Claim it again, and go on from what is stored.")
        }
        return stored.signals == row.seen ? nil : .unseenMessages
    }

    /// Whether this very change was written before.
    private func isWritten(in stored: SagaRow) -> Bool {
        // What has left neither a record nor a gap among the messages may be written again.
        (!records.isEmpty || !taken.isEmpty) && stored.records == row.records && stored.seen == row.seen
            && stored.progress == row.progress && stored.state == row.state
    }

    /// Whether the saga is as it was when the change was worked out, but for messages that came since.
    ///
    /// Seeing all messages is not enough: those that somebody has taken meanwhile are not among them any more.
    private func follows(_ stored: SagaRow) -> Bool {
        guard stored.records == row.records &- Int64(records.count) else { return false }
        return !records.isEmpty || taken.isEmpty || stored.seen != row.seen
    }
}
