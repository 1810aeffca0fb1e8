// SPDX-License-Identifier: Apache-2.0

import DovetailCore
package import DovetailSaga

/// A saga whose steps a test declares.
package struct Plain: Saga {
    package static let name = "plain"

    package struct State: Codable, Sendable, Equatable {
        package var number: Int
        package var notes: [String: String] = [:]
        package var answer: String?

        package init(number: Int = 0) {
            self.number = number
        }
    }

    package var deadline: Duration?
    private let list: @Sendable () -> [Step<State>]

    package init(deadline: Duration? = nil, @StepsBuilder<State> _ list: @escaping @Sendable () -> [Step<State>]) {
        self.deadline = deadline
        self.list = list
    }

    package var steps: [Step<State>] { list() }

    package func businessKey(of state: State) -> String? { "number \(state.number)" }
}

/// a, b, the pivot p, and then c, which must succeed.
package func ordinary(_ workers: Workers, deadline: Duration? = nil) -> Plain {
    Plain(deadline: deadline) {
        workers.step("a")
        workers.step("b")
        workers.pivot("p")
        workers.retriable("c")
    }
}
