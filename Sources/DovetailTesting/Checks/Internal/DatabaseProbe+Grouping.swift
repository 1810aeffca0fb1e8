// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension DatabaseProbe {
    // MARK: Sharing a commit

    func groupedRollBackAlone() async throws {
        let probe = probe
        try await probe.together(
            "Forty transactions that share commits",
            (0..<40).map { number in
                {
                    guard number % 3 == 1 else {
                        return try await database.withGroupedTransaction { tx in
                            try await write(String(number), at: String(number), in: tx)
                        }
                    }
                    try await probe.rollingBack {
                        try await database.withGroupedTransaction { tx in
                            try await write("lost", at: String(number), in: tx)
                            throw RollBack()
                        }
                    }
                }
            }
        )
        for number in 0..<40 {
            let expected = number % 3 == 1 ? nil : String(number)
            try probe.require(try await read(String(number)), is: expected, "The row of transaction \(number)")
        }
    }

    func groupedCommitsBeforeItReturns() async throws {
        let runs = Shared(0)
        let probe = probe
        try await probe.together(
            "Twenty transactions that share commits",
            (0..<20).map { number in
                {
                    let result = try await database.withGroupedTransaction { tx in
                        tx.afterCommit { runs.withLock { $0 += 1 } }
                        try await write(String(number), at: String(number), in: tx)
                        return number
                    }
                    try probe.require(result, is: number, "What the body returned")
                    try probe.require(
                        try await read(String(number)), is: String(number), "A row when the call that wrote it returned"
                    )
                }
            }
        )
        try await probe.eventually("The actions") { runs.withLock { $0 >= 20 ? () : nil } }
        try probe.require(runs.withLock { $0 }, is: 20, "How often the actions of twenty transactions ran")
    }
}
