// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore

/// Does something again as long as another transaction changed a row that it had read, 64 times at most.
func repeatingConflicts<Result>(_ body: () async throws -> Result) async throws -> Result {
    for _ in 1..<64 {
        do {
            return try await body()
        } catch let error as DatabaseError where error.code == .versionConflict {
            try Task.checkCancellation()
        }
    }
    return try await body()
}

extension DovetailConsumer.On {
    /// The same route, which begins again when another transaction changed a row that it had read.
    ///
    /// Such a conflict says nothing about the message, so it does not count as an attempt.
    func repeatingConflicts() -> DovetailConsumer.On {
        let handler = handler
        return DovetailConsumer.On(type: type, version: version, topic: topic, waitingRoom: waitingRoom) { incoming in
            try await DovetailSaga.repeatingConflicts { try await handler(incoming) }
        }
    }
}
