// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Where messages wait for a retry in order.
public struct WaitingRoom: Sendable {
}
