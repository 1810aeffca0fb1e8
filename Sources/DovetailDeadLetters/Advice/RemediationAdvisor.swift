// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// What is wrong with a group of dead letters, and what to do about it.
public struct Remediation: Sendable, Hashable {
    /// What is wrong, as far as can be told.
    public var diagnosis: String

    /// What to do, step by step.
    public var playbook: [String]

    /// Whether sending the messages again can help once the playbook has been followed.
    public var redriveCanHelp: Bool

    /// Creates a remediation.
    ///
    /// - Parameters:
    ///   - diagnosis: What is wrong.
    ///   - playbook: What to do, step by step.
    ///   - redriveCanHelp: Whether sending the messages again can help then.
    public init(diagnosis: String, playbook: [String], redriveCanHelp: Bool) {
        self.diagnosis = diagnosis
        self.playbook = playbook
        self.redriveCanHelp = redriveCanHelp
    }
}

/// Says what is wrong with a group of dead letters.
///
/// The shipped one is a table, ``TableAdvisor``. Another may ask whatever knows more, such as a language model or a runbook; what it is
/// given has passed the redactor.
///
/// ```swift
/// struct RunbookAdvisor: RemediationAdvisor {
///     func advise(on group: DeadLetterGroup) async throws -> Remediation {
///         try await runbook.entry(for: group.id.fingerprint) ?? TableAdvisor().advise(on: group)
///     }
/// }
/// ```
public protocol RemediationAdvisor: Sendable {
    /// Says what is wrong with a group.
    ///
    /// - Parameter group: The group.
    /// - Returns: A diagnosis and a playbook.
    /// - Throws: What keeps it from an answer.
    func advise(on group: DeadLetterGroup) async throws -> Remediation
}

/// Looks a group's reason up in a table.
///
/// ```swift
/// var advisor = TableAdvisor()
/// advisor["fraud"] = Remediation(diagnosis: "Fraud is suspected.", playbook: ["Call the customer."], redriveCanHelp: false)
/// print(advisor.advise(on: group).playbook)
/// ```
public struct TableAdvisor: RemediationAdvisor {
    private var table: [DeadLetterReason: Remediation]

    /// Creates an advisor with a row for each reason of the library.
    public init() {
        table = Self.standard
    }

    /// The row of a reason.
    ///
    /// - Parameter reason: The reason.
    public subscript(reason: DeadLetterReason) -> Remediation? {
        get { table[reason] }
        set { table[reason] = newValue }
    }

    /// Says what is wrong with a group.
    ///
    /// - Parameter group: The group.
    /// - Returns: The row of its reason, with what the group is about.
    public func advise(on group: DeadLetterGroup) -> Remediation {
        var found = table[group.reason] ?? Self.unknown
        let type = group.type.map { "'\($0)'" } ?? "bytes that are no message"
        let error = group.failure.place.isEmpty ? group.failure.type : "\(group.failure.type), \(group.failure.place)"
        found.diagnosis = "'\(group.consumer)' gave up \(group.count) of \(type) with \(error). \(found.diagnosis)"
        return found
    }

    private static let unknown = Remediation(
        diagnosis: "The reason is one of the service's own.",
        playbook: ["Look at one letter.", "Ask the owners of the consumer what the reason means."],
        redriveCanHelp: false)

    private static let standard: [DeadLetterReason: Remediation] = [
        .schemaMismatch: Remediation(
            diagnosis: "The producer and the consumer do not agree on the shape of the message.",
            playbook: [
                "Compare the payload of one letter with what the consumer expects.",
                "Find which side was deployed last; the time of the first letter tells.",
                "Teach the consumer the new shape, or lift the old version with On(_:as:), and deploy it.",
                "Redrive with a canary. A message that was wrong from the start is edited, or discarded.",
            ], redriveCanHelp: true),
        .timeoutOrNetwork: Remediation(
            diagnosis: "What the handler needs did not answer for longer than its retries last.",
            playbook: [
                "Check whether what it calls is up again, and whether its breaker is closed.",
                "Redrive with a canary, then at a rate that it can bear beside its usual load.",
                "If this comes often, have the consumer retry for longer.",
            ], redriveCanHelp: true),
        .businessRule: Remediation(
            diagnosis: "The handler says that these messages can never be handled.",
            playbook: [
                "Read the failures; decide with those who own the rule whether it or the messages are wrong.",
                "If the rule was wrong, mend it, deploy, and redrive with a canary.",
                "If the messages are wrong, edit and resend those that matter, and discard the others with a note.",
            ], redriveCanHelp: false),
        .poison: Remediation(
            diagnosis: "The handler failed on every attempt, and nothing says why: most often a fault in it.",
            playbook: [
                "Look at the error and where it comes from; replay one message in a test.",
                "Mend the handler and deploy it.",
                "Redrive with a canary, then the rest.",
            ], redriveCanHelp: true),
        .expired: Remediation(
            diagnosis: "The messages came after the time until which they were of use.",
            playbook: [
                "Find out what held them up: the lag of the relay and of the consumer at that time.",
                "Discard those that are of no use any more.",
                "Redrive the others without their expiry.",
            ], redriveCanHelp: true),
        .unroutable: Remediation(
            diagnosis: "No handler of the consumer takes messages of this type or version.",
            playbook: [
                "Check whether the consumer reads a topic that carries more than it wants; then let it ignore what it does not know.",
                "Otherwise add a route, or lift the version, and deploy it.",
                "Redrive.",
            ], redriveCanHelp: true),
        .tooLarge: Remediation(
            diagnosis: "The transport does not take messages of this size.",
            playbook: [
                "Put a claim check on the producer's transport, so that large payloads stay out of the message.",
                "Or raise the limit of the transport, on its brokers too.",
                "Redrive.",
            ], redriveCanHelp: true),
        .manual: Remediation(
            diagnosis: "A person put these aside.",
            playbook: ["Read the note, and ask that person.", "Redrive or discard them."], redriveCanHelp: true),
    ]
}
