// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What the parts of the library share with the program around them: time, random numbers, identifiers, an instrument.
///
/// A part uses the runtime it was given, or else the one of the task it runs in, ``current``. A test sets that once and
/// owns all time and chance below it:
///
/// ```swift
/// await Runtime.$current.withValue(Runtime(time: virtualTime, random: SeededRandom(seed: 7))) {
///     // everything in here, child tasks included
/// }
/// ```
public final class Runtime: Sendable {
    /// The clocks.
    public let time: any TimeSource

    /// The random numbers.
    public let random: any RandomSource

    /// Hears of everything that happens; `nil` if nobody listens, and then no event is built.
    public let instrument: (any Instrument)?

    /// Removes what must not be stored outside a message or shown; `nil` if nothing is removed.
    public let redactor: (any Redactor)?

    /// Decides what goes wrong, in a simulation.
    package let probe: (any SimulationProbe)?

    private let identifiers = Mutex(UUIDv7Generator())

    /// Creates a runtime.
    ///
    /// - Parameters:
    ///   - time: The clocks.
    ///   - random: The random numbers.
    ///   - instrument: Hears of everything that happens.
    ///   - redactor: Removes what must not be stored outside a message or shown.
    public convenience init(
        time: any TimeSource = SystemTime(),
        random: any RandomSource = SystemRandom(),
        instrument: (any Instrument)? = nil,
        redactor: (any Redactor)? = nil
    ) {
        self.init(time: time, random: random, instrument: instrument, redactor: redactor, probe: nil)
    }

    /// Creates the runtime of a simulation.
    package init(
        time: any TimeSource, random: any RandomSource, instrument: (any Instrument)?, redactor: (any Redactor)?,
        probe: (any SimulationProbe)?
    ) {
        self.time = time
        self.random = random
        self.instrument = instrument
        self.redactor = redactor
        self.probe = probe
        if probe != nil { someoneSimulates.store(true, ordering: .relaxed) }
        if instrument != nil { someoneListens.store(true, ordering: .relaxed) }
    }

    /// Whether any runtime of the process was ever made with an instrument.
    ///
    /// Until then nobody can listen, and paths that take a few nanoseconds need not look the current task's runtime up.
    @usableFromInline
    package static var mayBeHeard: Bool { someoneListens.load(ordering: .relaxed) }

    /// Whether any runtime of the process was ever that of a simulation.
    static var mayBeSimulated: Bool { someoneSimulates.load(ordering: .relaxed) }

    /// The machine's own clocks and random numbers, with nobody listening.
    public static let system = Runtime()

    /// The runtime of the current task.
    @TaskLocal public static var current: Runtime = .system

    /// The same runtime with another instrument.
    ///
    /// - Parameter instrument: Hears of everything that happens.
    /// - Returns: The new runtime.
    public func with(instrument: (any Instrument)?) -> Runtime {
        Runtime(time: time, random: random, instrument: instrument, redactor: redactor, probe: probe)
    }

    /// Makes a new identifier, later than all that this runtime made before.
    ///
    /// - Returns: The identifier.
    public func makeUUID() -> UUIDv7 {
        let milliseconds = time.now().millisecondsSinceEpoch
        var generator = random.generator
        return identifiers.withLock { $0.next(milliseconds: milliseconds, random: &generator) }
    }

    /// Makes the identifier of a new message.
    ///
    /// - Returns: The identifier.
    public func makeMessageID() -> MessageID {
        MessageID(rawValue: makeUUID().description)
    }
}

private let someoneListens = Atomic<Bool>(false)
private let someoneSimulates = Atomic<Bool>(false)
