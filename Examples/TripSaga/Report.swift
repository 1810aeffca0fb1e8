// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What came of a run, for people and for programs.
struct Report {
    let outcome: Outcome
    let options: Options

    private var audit: Audit { outcome.audit }
    private var kills: Int { outcome.kills }

    private func count(_ status: SagaStatus) -> Int { audit.counts[status] ?? 0 }

    var text: String {
        var lines = [
            "\(options.trips) trips", "",
            "  completed    \(count(.completed))", "  compensated  \(count(.compensated))",
            "  cancelled    \(count(.cancelled))", "  parked       \(count(.parked))", "",
            "  \(audit.failedAttempts) attempts failed, \(audit.takeovers) steps were taken over by another engine"
                + (kills > 0 ? ", \(kills) engines were killed" : ""), "",
        ]
        if audit.violations.isEmpty {
            lines.append("The books are right: no ride unpaid, no refund twice, no driver left waiting.")
        } else {
            lines.append("The books are wrong in \(audit.violations.count) places:")
            lines += audit.violations.prefix(10).map { "  \($0)" }
            if audit.violations.count > 10 { lines.append("  …") }
        }
        return lines.joined(separator: "\n")
    }

    var json: String {
        """
        {"trips": \(options.trips), "completed": \(count(.completed)), "compensated": \(count(.compensated)), \
        "cancelled": \(count(.cancelled)), "parked": \(count(.parked)), "failedAttempts": \(audit.failedAttempts), \
        "takeovers": \(audit.takeovers), "kills": \(kills), "violations": \(audit.violations.count)}
        """
    }
}
