// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation

/// A letter for a program.
struct LetterLine: Encodable {
    let letter: String
    let place: Int64?
    let queue, tier, reason, fingerprint, topic, position, consumer: String
    let attempts, redrives: Int
    let time, firstTime: String
    let error, errorPlace, failure: String
    let message, type, source, tenant, key, correlation, causation: String?
    let payload, payloadBase64: String?

    init(_ letter: DeadLetter) {
        let attributes = letter.envelope?.attributes
        self.letter = letter.id
        place = letter.place
        (queue, tier, reason) = (letter.queue.rawValue, letter.tier.rawValue, letter.reason.rawValue)
        (fingerprint, topic) = (letter.fingerprint.rawValue, letter.topic.rawValue)
        (position, consumer) = (letter.position, letter.consumer)
        (attempts, redrives) = (letter.attempts, letter.redrives)
        (time, firstTime) = (letter.time.rfc3339, letter.firstTime.rfc3339)
        (error, errorPlace, failure) = (letter.failure.type, letter.failure.place, letter.failure.message)
        (message, type) = (attributes?.id.rawValue, attributes?.type.rawValue)
        (source, tenant) = (attributes?.source.rawValue, attributes?.tenant?.rawValue)
        key = attributes?.partitionKey?.rawValue
        (correlation, causation) = (attributes?.correlationID?.rawValue, attributes?.causationID?.rawValue)
        payload = letter.payload.text
        payloadBase64 = payload == nil ? letter.payload.base64 : nil
    }
}

struct LetterPage: Encodable {
    let letters: [LetterLine]
    let next: Int64?
}

struct LetterPages: Encodable {
    let letter: LetterLine
    let history: [RecordLine]
    let diagnosis: String
    let playbook: [String]
}

struct GroupLine: Encodable {
    let fingerprint, queue, tier, reason, consumer, error, errorPlace, failure, first, last, example: String
    let type: String?
    let count: Int

    init(_ group: DeadLetterGroup) {
        (fingerprint, queue, tier) = (group.id.fingerprint.rawValue, group.id.queue.rawValue, group.id.tier.rawValue)
        (reason, consumer, type) = (group.reason.rawValue, group.consumer, group.type?.rawValue)
        (error, errorPlace, failure) = (group.failure.type, group.failure.place, group.failure.message)
        (first, last, example) = (group.first.rfc3339, group.last.rfc3339, group.example)
        count = group.count
    }
}

struct GroupPage: Encodable {
    let groups: [GroupLine]
    let total: Int
}

struct RecordLine: Encodable {
    let letter, exit, time, reason, note: String
    let job: String?

    init(_ record: DeadLetterRecord) {
        (letter, exit, time) = (record.letter, record.removal.exit.rawValue, record.removal.time.rfc3339)
        (reason, note, job) = (record.reason.rawValue, record.removal.note, record.removal.job)
    }
}

struct JobLine: Encodable {
    let job, state, time, note, problem: String
    let total, redriven, passedOver: Int

    init(_ job: RedriveJob) {
        (self.job, state, time) = (job.id, job.state.rawValue, job.time.rfc3339)
        (note, problem) = (job.request.note, job.problem)
        (total, redriven, passedOver) = (job.total, job.redriven, job.passedOver)
    }
}

struct JobPage: Encodable {
    let jobs: [JobLine]
}

struct PlanLine: Encodable {
    let total: Int
    let seconds: Double?
    let examples, conflicts: [String]
}

extension [UInt8] {
    /// As text, if they are some.
    var text: String? { String(validating: self, as: UTF8.self) }

    var base64: String { Data(self).base64EncodedString() }
}
