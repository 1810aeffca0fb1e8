// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The reserved and answered keys of all scopes.
struct ReplayRecords: Sendable {
    private enum Phase: Sendable {
        case reserved(until: Timestamp)
        case answered(Bytes)
    }

    private struct Record: Sendable {
        let fingerprint: String
        let token: Int64
        /// How long it is remembered after its lease.
        let retention: Duration
        var phase: Phase
        var expiry: Int64
    }

    private var records: [ScopedKey: Record] = [:]
    private var lines = ExpiryLines<ScopedKey>()
    private var lastToken: Int64 = 0

    private func record(_ id: ScopedKey, now: Timestamp) -> Record? {
        records[id].flatMap { $0.expiry > now.millisecondsSinceEpoch ? $0 : nil }
    }

    /// What an attempt to reserve leads to; `nil` if the key may be reserved.
    func obstacle(_ id: ScopedKey, fingerprint: String, now: Timestamp) -> IdempotencyReservation? {
        guard let record = record(id, now: now) else { return nil }
        guard record.fingerprint == fingerprint else { return .mismatch }
        switch record.phase {
        case .answered(let answer): return .completed(answer)
        case .reserved(let end): return end > now ? .inFlight(end - now) : nil
        }
    }

    mutating func makeToken() -> FencingToken {
        lastToken += 1
        return FencingToken(number: lastToken)
    }

    mutating func reserve(
        _ id: ScopedKey, fingerprint: String, token: FencingToken, lease: Duration, retention: Duration, now: Timestamp
    ) {
        let record = Record(
            fingerprint: fingerprint, token: token.number, retention: retention, phase: .reserved(until: now + lease),
            expiry: .max
        )
        set(record, for: id, expiringAfter: lease + retention, now: now)
    }

    /// Whether a reservation is still good.
    func holds(_ id: ScopedKey, token: FencingToken, now: Timestamp) -> Bool {
        guard let record = record(id, now: now), record.token == token.number else { return false }
        if case .reserved = record.phase { return true }
        return false
    }

    /// Whether a reservation ended with an answer.
    func isAnswered(_ id: ScopedKey, token: FencingToken, now: Timestamp) -> Bool {
        guard let record = record(id, now: now), record.token == token.number else { return false }
        if case .answered = record.phase { return true }
        return false
    }

    mutating func renew(_ id: ScopedKey, lease: Duration, now: Timestamp) {
        guard var record = records[id] else { return }
        record.phase = .reserved(until: now + lease)
        set(record, for: id, expiringAfter: lease + record.retention, now: now)
    }

    mutating func answer(_ id: ScopedKey, with answer: Bytes, retention: Duration, now: Timestamp) {
        guard var record = records[id] else { return }
        record.phase = .answered(answer)
        set(record, for: id, expiringAfter: retention, now: now)
    }

    mutating func release(_ id: ScopedKey) {
        records[id] = nil
    }

    mutating func sweep(at now: Int64, limit: Int) -> Int {
        lines.sweep(at: now, limit: limit) { entry in
            // A record that was written again stands in a line more than once, and counts with its last entry.
            guard records[entry.key]?.expiry == entry.expiry else { return false }
            records[entry.key] = nil
            return true
        }
    }

    private mutating func set(_ record: Record, for id: ScopedKey, expiringAfter span: Duration, now: Timestamp) {
        var record = record
        let milliseconds = span.milliseconds
        let (sum, overflow) = now.millisecondsSinceEpoch.addingReportingOverflow(milliseconds)
        record.expiry = overflow ? .max : sum
        records[id] = record
        lines.append(id, expiry: record.expiry, span: milliseconds)
    }
}

extension Duration {
    /// In whole milliseconds, rounded up; none if negative.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = max(.zero, self).components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        let (sum, overflowed) = whole.addingReportingOverflow(
            (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
        return overflow || overflowed ? .max : sum
    }
}
