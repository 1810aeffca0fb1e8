// SPDX-License-Identifier: Apache-2.0

/// An error of a guard that kept the call from being made.
///
/// Whatever the call was for is untouched: it says nothing about the health of the other side, so a guard that counts
/// failures counts it neither as one nor as a success.
///
/// ```swift
/// struct QueueFull: CallNotAttempted {}
/// ```
public protocol CallNotAttempted: Error {}
