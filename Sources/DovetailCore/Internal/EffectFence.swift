// SPDX-License-Identifier: Apache-2.0

/// Stands before every effect of an in-memory handle, so that a simulated crash can cut a service off from the world.
package protocol EffectFence: Sendable {
    /// Called before an effect, and again before a transaction commits.
    ///
    /// - Throws: If the effect must not happen.
    func check(_ effect: StaticString) throws
}
