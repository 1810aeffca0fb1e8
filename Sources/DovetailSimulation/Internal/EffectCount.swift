// SPDX-License-Identifier: Apache-2.0

/// The effects that services ask for, and the one of them at which a service crashes.
struct EffectCount: Sendable {
    /// Whoever asks for more never comes to rest; it may not even suspend, so that nothing else could stop it.
    static let most = 100_000

    /// The service that crashes, and at which of its effects, counted from 1.
    let crash: (service: String, number: Int)?
    private(set) var effects: [String: [String]] = [:]
    /// The service that was stopped because it asked for too many.
    private(set) var stopped: String?

    init(crash: (service: String, number: Int)?) {
        self.crash = crash
    }

    enum Verdict: Sendable {
        case goesOn
        /// For good if there is no downtime.
        case crashes(downtime: Duration?)
    }

    mutating func note(_ effect: StaticString, of service: String) -> Verdict {
        effects[service, default: []].append("\(effect)")
        let count = effects[service]?.count ?? 0
        if count > Self.most {
            stopped = service
            return .crashes(downtime: nil)
        }
        guard let crash, crash.service == service, crash.number == count else { return .goesOn }
        return .crashes(downtime: .zero)
    }
}
