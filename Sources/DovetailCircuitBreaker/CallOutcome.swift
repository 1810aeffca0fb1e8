// SPDX-License-Identifier: Apache-2.0

/// What the end of a call says about the health of the other side.
public enum CallOutcome: Sendable, Hashable {
    /// The other side does its work.
    case success

    /// The other side does not do its work.
    case failure

    /// The call says nothing: it was not made, or the one who asked went away.
    ///
    /// A neutral call is not counted, and if it was a probe, its place is free for another.
    case neutral
}
