// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Placeholder.
public struct WaitingRoom: Sendable {}
