// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The sagas that an engine knows, by name and version.
struct SagaCatalogue: Sendable {
    private var definitions: [String: [Int: any SagaDefinition]] = [:]
    private(set) var names: [String] = []

    /// - Throws: ``SagaError`` with ``SagaError/Code/invalidPlan`` or ``SagaError/Code/duplicateSaga``.
    init(_ sagas: [any Saga]) throws(SagaError) {
        for saga in sagas { try add(saga) }
    }

    private mutating func add<S: Saga>(_ saga: S) throws(SagaError) {
        let definition = try TypedSagaDefinition(saga)
        guard definitions[S.name]?[S.version] == nil else {
            throw SagaError(
                .duplicateSaga,
                "The saga '\(S.name)' was given twice in version \(S.version). Give each version once.")
        }
        if definitions[S.name] == nil { names.append(S.name) }
        definitions[S.name, default: [:]][S.version] = definition
    }

    var all: [any SagaDefinition] {
        names.flatMap { name in (definitions[name] ?? [:]).sorted { $0.key < $1.key }.map(\.value) }
    }

    func definition(_ name: String, _ version: Int) -> (any SagaDefinition)? { definitions[name]?[version] }

    /// The last version of a saga.
    func latest(_ name: String) -> (any SagaDefinition)? {
        definitions[name]?.max { $0.key < $1.key }?.value
    }

    /// - Throws: ``SagaError`` with ``SagaError/Code/unknownSaga``.
    func latest(named name: String) throws(SagaError) -> any SagaDefinition {
        guard let definition = latest(name) else {
            throw SagaError(
                .unknownSaga,
                "The engine does not know the saga '\(name)'; it knows: \(names.joined(separator: ", ")). Give it to the "
                    + "engine when you make it.")
        }
        return definition
    }
}
