// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
public import Testing

/// Gives services messages that nobody can handle: each must be kept as a dead letter, whole and under the right reason, and
/// the messages behind it must be handled as if it had not been there.
///
/// ```swift
/// @Test func poisonIsKept() async throws {
///     try await PoisonCheck().run(
///         ServiceScenario(delivering: OrderPlaced.sample) { node in PaymentService(node.database, node.bus) })
/// }
/// ```
///
/// The poison takes after the messages of the scenario and after those that the services publish, so that handlers further down
/// are checked too. A service that swallows errors fails so:
///
/// ```
/// poison: Of 11 doses of poison, 1 was not dealt with:
///   'shop.order.placed' with a payload of another shape is lost: 'payments' acknowledged it, and no dead letter keeps it.
/// ```
public struct PoisonCheck: Sendable {
    /// What makes a message impossible to handle.
    public enum Kind: String, CaseIterable, Sendable, CustomTestStringConvertible {
        /// Bytes that are no message at all; to be kept as `schema-mismatch`.
        case garbage

        /// A payload of bytes that are no text; to be kept as `schema-mismatch`.
        case garbledPayload

        /// No payload; to be kept as `schema-mismatch`.
        case emptyPayload

        /// A payload of another shape, a list of lists; to be kept as `schema-mismatch`.
        case wrongShape

        /// A payload whose fields have values of another type; to be kept as `schema-mismatch`.
        case wrongTypes

        /// A payload of a megabyte that does not end as it should; to be kept as `schema-mismatch`.
        case hugePayload

        /// A payload of a hundred thousand lists in each other; to be kept as `schema-mismatch`.
        case deepPayload

        /// A version that nobody knows yet; to be kept as `unroutable`.
        case futureVersion

        /// The version before, with a payload that cannot be lifted; to be kept as `unroutable` or `schema-mismatch`.
        case oldVersion

        /// A message whose time has passed; to be kept as `expired`.
        case expired

        /// A message of a type that nobody knows; may be ignored, but must not be in the way.
        case unknownType

        /// The name of the kind.
        public var testDescription: String { rawValue }

        var words: String {
            switch self {
            case .garbage: "as bytes that are no message"
            case .garbledPayload: "with a payload that is no text"
            case .emptyPayload: "with an empty payload"
            case .wrongShape: "with a payload of another shape"
            case .wrongTypes: "with fields of other types"
            case .hugePayload: "with a payload of a megabyte that does not end"
            case .deepPayload: "with a payload of a hundred thousand lists in each other"
            case .futureVersion: "of a version to come"
            case .oldVersion: "of the version before"
            case .expired: "whose time has passed"
            case .unknownType: "replaced by a message of a type that nobody knows"
            }
        }
    }

    /// The kinds of poison to try.
    public var kinds: [Kind]

    /// The consumers that need not keep what they cannot read, since they read no payloads, such as a watch.
    public var exempt: Set<String>

    /// Whether it is enough that the transport keeps what a consumer rejects.
    ///
    /// A consumer without a dead letter sink rejects; some brokers keep that, and others drop it.
    public var acceptsRejected: Bool

    /// Creates the check.
    ///
    /// - Parameters:
    ///   - kinds: The kinds of poison to try.
    ///   - exempt: The consumers that need not keep what they cannot read.
    ///   - acceptsRejected: Whether it is enough that the transport keeps what a consumer rejects.
    public init(kinds: [Kind] = Kind.allCases, exempting exempt: Set<String> = [], acceptsRejected: Bool = false) {
        self.kinds = kinds
        self.exempt = exempt
        self.acceptsRejected = acceptsRejected
    }

    /// Runs the check, and records what it finds as an issue at the line that calls it.
    ///
    /// - Parameters:
    ///   - scenario: The services and their messages.
    ///   - sourceLocation: Where to record the issue.
    /// - Throws: `CancellationError` if the task is cancelled.
    public func run(_ scenario: ServiceScenario, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await CheckProbe.record(at: sourceLocation) { try await verify(scenario) }
    }

    /// Runs the check anywhere, also outside tests.
    ///
    /// - Parameter scenario: The services and their messages.
    /// - Throws: ``CheckFailure`` that names each message that was lost, misjudged or in the way of others.
    public func verify(_ scenario: ServiceScenario) async throws {
        let run = try await ScenarioRun("poison", of: scenario)
        let undisturbed = try await run.undisturbed()
        var seen: Set<[String]> = []
        let samples = (run.envelopes + undisturbed.published).filter { envelope in
            let attributes = envelope.attributes
            guard undisturbed.groups[attributes.topic]?.isEmpty == false else { return false }
            return seen.insert([attributes.topic.rawValue, attributes.type.rawValue, "\(attributes.version)"]).inserted
        }
        var findings: [String] = []
        var doses = 0
        var failed = 0
        for poison in samples.flatMap({ sample in kinds.compactMap { Poison.make($0, after: sample) } }) {
            doses += 1
            let found = try await self.findings(of: run, poison, undisturbed.end)
            if !found.isEmpty { failed += 1 }
            findings += found.map { "'\(poison.type)' \(poison.kind.words) \($0)" }
        }
        guard findings.isEmpty else {
            let were = failed == 1 ? "was" : "were"
            throw CheckFailure(
                check: run.check,
                ScenarioRun.text(
                    "Of \(doses) doses of poison, \(failed) \(were) not dealt with:", findings,
                    "Let what cannot be read throw, out of the handler, and keep it: "
                        + "`.deadLettering(to: DeadLetterQueue(in: database))`."))
        }
    }

    private func findings(of run: ScenarioRun, _ poison: Poison, _ expected: EndState) async throws -> [String] {
        let plan = ScenarioRun.Plan(order: Array(run.envelopes.indices), poison: poison)
        let outcome: ScenarioRun.Outcome
        do {
            outcome = try await run.run(plan)
        } catch let error as SimulationError {
            return ["brought the services down: \(error)"]
        }
        let groups = (outcome.groups[poison.topic] ?? []).map(\.rawValue).filter { !exempt.contains($0) }
        var findings = groups.compactMap { finding(about: poison, of: $0, groups, outcome) }
        let differences = EndState.differences(
            from: expected.without(.deadLetter).without(.rejected),
            to: outcome.end.without(.deadLetter).without(.rejected))
        if !differences.isEmpty {
            findings.append("was in the way of others: " + differences.prefix(4).joined(separator: "; "))
        }
        return findings
    }

    /// What one consumer did wrong; `nil` if nothing.
    private func finding(
        about poison: Poison, of consumer: String, _ groups: [String], _ outcome: ScenarioRun.Outcome
    ) -> String? {
        if let id = poison.id, outcome.skipped[id]?.contains(consumer) == true { return nil }
        guard let expected = poison.reasons.first else { return nil }
        let reasons = poison.reasons.map { "'\($0)'" }.joined(separator: " or ")
        guard
            let letter = outcome.letters.first(where: { letter in
                Self.isOf(letter.content, poison)
                    // A service with a sink of its own may go by another name than its group.
                    && (letter.consumer == consumer || !groups.contains(letter.consumer))
            })
        else {
            let rejected = outcome.rejected.first { $0.group.rawValue == consumer && Self.isOf($0.content, poison) }
            guard let rejected else {
                return
                    "is lost: '\(consumer)' acknowledged it, and no dead letter keeps it (expected as '\(expected)')."
            }
            if acceptsRejected {
                return poison.reasons.contains { $0.rawValue == rejected.reason }
                    ? nil : "was rejected by '\(consumer)' as '\(rejected.reason)', not as \(reasons)."
            }
            return "was rejected by '\(consumer)' for want of a place to keep it; some brokers drop what is rejected."
        }
        guard letter.payload == poison.payload else {
            return
                "was changed: '\(consumer)' got \(poison.payload.count) bytes and kept \(letter.payload.count) others."
        }
        guard poison.reasons.contains(letter.reason) else {
            return "is kept by '\(consumer)' as '\(letter.reason)', not as \(reasons), after "
                + "\(letter.attempts) attempts: \(letter.failure.message)"
        }
        return nil
    }

    private static func isOf(_ content: Delivery.Content, _ poison: Poison) -> Bool {
        switch (content, poison.content) {
        case (.envelope(let kept), .envelope(let given)): kept.attributes.id == given.attributes.id
        case (.undecodable(let kept, _, _), .bytes(let given)): kept == given
        default: false
        }
    }
}
