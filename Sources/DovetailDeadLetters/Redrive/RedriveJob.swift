// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// How far a redrive is.
///
/// Open, as databases keep the text.
public struct RedriveState: TextValue {
    /// The name.
    public let rawValue: String

    /// Creates a state with this name.
    ///
    /// - Parameter rawValue: The name.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// It was asked for, or goes on after somebody resumed it.
    public static let waiting: RedriveState = "waiting"

    /// Letters are sent.
    public static let running: RedriveState = "running"

    /// Some letters went ahead, and it is watched whether they come back.
    public static let watching: RedriveState = "watching"

    /// Every letter that was meant has been sent or passed over.
    public static let completed: RedriveState = "completed"

    /// Somebody cancelled it.
    ///
    /// What was sent until then stays sent.
    public static let cancelled: RedriveState = "cancelled"

    /// It stopped by itself, see ``RedriveJob/problem``; somebody can resume it.
    public static let stopped: RedriveState = "stopped"

    /// Whether there is something to do without anybody's help.
    public var isActive: Bool { [.waiting, .running, .watching].contains(self) }
}

/// A redrive that somebody asked for, with how far it is.
public struct RedriveJob: Sendable, Hashable, Codable, Identifiable {
    /// Names it.
    public let id: String

    /// What was asked for.
    public let request: RedriveRequest

    /// When it was asked for.
    public let time: Timestamp

    /// Letters behind this place came after it was asked for, and are not meant.
    public let cutOff: Int64

    /// How many letters were meant at the moment of asking.
    public let total: Int

    /// How far it is.
    public internal(set) var state: RedriveState = .waiting

    /// Up to this place every letter that is meant has been sent or passed over.
    public internal(set) var place: Int64 = 0

    /// How many letters were sent and have left.
    public internal(set) var redriven = 0

    /// How many letters were passed over and are still there: no messages, or such that the transport will never take.
    public internal(set) var passedOver = 0

    /// Why it stopped, or the last thing that went wrong; empty if nothing did.
    public internal(set) var problem = ""

    /// When it ended or stopped.
    public internal(set) var ended: Timestamp?

    /// The messages that went ahead.
    var canaries: [MessageID] = []

    /// Whether the letters that went ahead have been watched long enough.
    var isCanaryOver = false

    /// How long to watch them; `nil` while they are sent.
    var canaryEnd: Timestamp?

    /// Whose it is, and how long without a word from there.
    var owner: String?
    var leaseEnd: Timestamp?

    init(id: String, request: RedriveRequest, time: Timestamp, cutOff: Int64, total: Int) {
        self.id = id
        self.request = request
        self.time = time
        self.cutOff = cutOff
        self.total = total
        isCanaryOver = request.canary == 0
    }

    /// Whether a process can take it on.
    func isFree(at now: Timestamp) -> Bool {
        state.isActive && (owner == nil || leaseEnd.map { $0 <= now } ?? true)
    }
}
