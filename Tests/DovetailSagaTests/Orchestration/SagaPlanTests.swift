// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga
import DovetailTesting
import SagaScenarios
import Testing

@Suite(.timeLimit(.minutes(10)))
struct SagaPlanTests {
    private static let nothing: @Sendable (Plain.State, StepContext) async throws -> Void = { _, _ in }

    private static func paid(_ otherwise: Wait<Plain.State>.Timeout) -> Wait<Plain.State> {
        Wait("paid", for: Paid.self, by: { $0.number }, within: .seconds(1), otherwise: otherwise)
    }

    /// Plans that are none, each with the names that the message must have.
    static let culprits: [(what: String, saga: Plain, names: [String])] = [
        ("no steps", Plain {}, ["plain"]),
        ("empty name", Plain { Step("", nothing) }, ["plain"]),
        ("slash", Plain { Step("a/b", nothing) }, ["a/b"]),
        (
            "twice",
            Plain {
                Step("a", nothing)
                When { _ in
                    true
                } then: {
                    Step("a", nothing)
                }
            }, ["'a'"]
        ),
        (
            "two pivots",
            Plain {
                Step(pivot: "p", nothing)
                Step(pivot: "q", nothing)
            }, ["'p'", "'q'"]
        ),
        (
            "pivot in parallel",
            Plain {
                Parallel {
                    Step("a", nothing)
                    Step(pivot: "p", nothing)
                }
            }, ["'p'"]
        ),
        (
            "compensatable behind the pivot",
            Plain {
                Step(pivot: "p", nothing)
                Step("late", nothing, compensate: nothing)
            }, ["'late'", "'p'"]
        ),
        (
            "compensatable behind a retriable step",
            Plain {
                Step(retriable: "r", nothing)
                Step("late", nothing)
            }, ["'late'", "'r'"]
        ),
        (
            "pivot behind a retriable step",
            Plain {
                Step(retriable: "r", nothing)
                Step(pivot: "p", nothing)
            }, ["'p'", "'r'"]
        ),
        (
            "retriable beside compensatable",
            Plain {
                Parallel {
                    Step("a", nothing)
                    Step(retriable: "r", nothing)
                }
            }, ["'a'", "'r'"]
        ),
        (
            "a wait behind the pivot that compensates",
            Plain {
                Step(pivot: "p", nothing)
                paid(.compensate)
            }, ["'paid'", "'p'"]
        ),
        (
            "a wait beside a retriable step that compensates",
            Plain {
                Parallel {
                    Step(retriable: "r", nothing)
                    paid(.compensate)
                }
            }, ["'paid'", "'r'"]
        ),
    ]

    @Test("A plan that is none is refused when it is registered, naming the step", arguments: culprits)
    func invalidPlanIsRefused(what: String, saga: Plain, names: [String]) async throws {
        let error = #expect(throws: SagaError.self) { try Engine(saga, in: InMemoryDatabase()) }
        #expect(error?.code == .invalidPlan)
        for name in names { #expect(error?.message.contains(name) ?? false, "\(what): \(error?.message ?? "")") }
    }

    @Test("Waits and pauses may stand anywhere, and steps without compensation before the pivot")
    func validPlanIsTaken() throws {
        _ = try Engine(
            Plain {
                Step("note", Self.nothing)
                Self.paid(.compensate)
                Step(pivot: "p", Self.nothing)
                Self.late
                Sleep("rest", for: .seconds(1))
                Parallel {
                    Step(retriable: "r", Self.nothing)
                    Wait("told", for: Shipped.self, by: { "\($0.number)" }, within: .seconds(1), otherwise: .goOn)
                }
            }, in: InMemoryDatabase())
    }

    private static let late = Wait<Plain.State>("late", for: Shipped.self, by: { "\($0.number)" })

    @Test("Two sagas of one name and version are refused")
    func duplicateIsRefused() async throws {
        let saga = Plain { Step("a", Self.nothing) }
        let error = #expect(throws: SagaError.self) { try Engine(saga, saga, in: InMemoryDatabase()) }
        #expect(error?.code == .duplicateSaga)
        #expect(error?.message.contains("plain") ?? false)
    }

    struct Other: Saga {
        static let name = "other"
        struct State: Codable, Sendable {}
        var steps: [Step<State>] { Step("a") { _, _ in } }
    }

    @Test("A saga that the engine does not know cannot be started")
    func unknownIsRefused() async throws {
        let engine = try Engine(Plain { Step("a", Self.nothing) }, in: InMemoryDatabase())
        let error = await #expect(throws: SagaError.self) {
            try await engine.start(Other.self, id: "1", state: .init())
        }
        #expect(error?.code == .unknownSaga)
        #expect(error?.message.contains("other") ?? false)
    }
}
