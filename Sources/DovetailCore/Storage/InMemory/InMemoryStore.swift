// SPDX-License-Identifier: Apache-2.0

/// The part of an ``InMemoryDatabase`` that belongs to one pattern, made when it is first asked for.
package protocol InMemoryStore: AnyObject, Sendable {
    init(runtime: Runtime?)

    /// How many things still want to be done, for a test that waits until nothing does.
    var pendingWork: Int { get }
}
