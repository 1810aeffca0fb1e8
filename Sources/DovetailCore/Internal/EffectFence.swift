// SPDX-License-Identifier: Apache-2.0

/// Stands before every effect of an in-memory handle, so that a simulated crash can cut a service off from the world, and
/// simulated faults can get in its way.
package protocol EffectFence: Sendable {
    /// Called before an effect, and again before a transaction commits.
    ///
    /// - Throws: If the effect must not happen.
    func check(_ effect: StaticString) throws

    /// Called after an effect.
    ///
    /// - Throws: If whoever asked for it must not learn that it happened.
    func checkAnswer(_ effect: StaticString) throws

    /// Called before an effect that may take its time.
    ///
    /// - Throws: `CancellationError` if the task is cancelled meanwhile.
    func holdUp(_ effect: StaticString) async throws

    /// On whose behalf effects are asked for, for the record.
    var party: String { get }
}

extension EffectFence {
    package func checkAnswer(_ effect: StaticString) throws {}
    package func holdUp(_ effect: StaticString) async throws {}
    package var party: String { "test" }
}
