// SPDX-License-Identifier: Apache-2.0

package import DovetailCore
import DovetailSaga
import DovetailSimulation
import Testing

/// What engines promise on whatever database their sagas are in; each is named by the corner cases it is about.
package enum SagaScenario: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case deathAtEachCommit = "1-8, 36, 61: Whatever commit an engine ends at, another goes on to a legal end"
    case lostAnswers = "13: A commit whose answer gets lost is made once"
    case attemptsOutlive = "10, 27: Attempts of a step and of a compensation outlive the engine, and so does their time"
    case pauseOutlives = "11, 48: A pause that ends while nobody runs ends once, and not before its time"
    case deathsAreCounted = "12: A step in whose middle engines end again and again parks, after exactly so many"
    case startedOnce = "30, 31: Starting twice at once, and after the end, makes one saga"
    case messagesOnce = "32, 34, 35, 49: A message is taken once, whenever it comes and whatever it is found by"
    case lostAnswersOnMessages = "13, 32: A message that a commit takes whose answer gets lost is taken, and once"
    case sweptOnce = "33, 60: Sagas that end while others are forgotten are forgotten once"
    case lateSaves = "36: One that was cut off and is late writes nothing"
    case manySagas = "37, 39: Many sagas and two engines: each step is run once, and all end"
    case clocksDiffer = "38: The clock of the store decides, however wrong that of an engine is"
    case locks = "40: Two sagas that lock two things in opposite order both end, and leave no lock"
    case unknownVersion = "55: A version that nobody knows is parked, and goes on once it is known"
    case anyError = "59: Whatever an error says is kept, and keeps no saga from going on"
    case saidOnce = "9, 28: What a saga says at its end leaves with it, once"
    case givenBack = "62: What an engine has in hand when it is stopped goes on at once"

    package var testDescription: String { rawValue }

    /// Plays the scenario.
    ///
    /// - Parameters:
    ///   - outcomes: What comes of the steps of sagas whose engines end at each commit.
    ///   - moments: When at a commit they end.
    ///   - open: Opens two databases that keep the same, with nothing in them, whose stores measure by a runtime.
    /// - Throws: What has not come about within a minute, or what opening throws.
    package func play<DB: ScenarioDatabase>(
        outcomes: [StepOutcomes] = StepOutcomes.some, moments: [Trouble.Moment] = Trouble.Moment.allCases,
        _ open: (Runtime) async throws -> (DB, DB)
    ) async throws {
        let time = VirtualTime()
        let runtime = Runtime(time: time)
        let (one, two) = try await open(runtime)
        let stage = SagaStage(time: time, runtime: runtime, one: one, two: two)
        switch self {
        case .deathAtEachCommit: try await stage.deathAtEachCommit(outcomes, moments)
        case .lostAnswers: try await stage.lostAnswers()
        case .attemptsOutlive: try await stage.attemptsOutlive()
        case .pauseOutlives: try await stage.pauseOutlives()
        case .deathsAreCounted: try await stage.deathsAreCounted()
        case .startedOnce: try await stage.startedOnce()
        case .messagesOnce: try await stage.messagesOnce()
        case .lostAnswersOnMessages: try await stage.lostAnswersOnMessages()
        case .sweptOnce: try await stage.sweptOnce()
        case .lateSaves: try await stage.lateSaves()
        case .manySagas: try await stage.manySagas()
        case .clocksDiffer: try await stage.clocksDiffer()
        case .locks: try await stage.locks()
        case .unknownVersion: try await stage.unknownVersion()
        case .anyError: try await stage.anyError()
        case .saidOnce: try await stage.saidOnce()
        case .givenBack: try await stage.givenBack()
        }
    }
}
