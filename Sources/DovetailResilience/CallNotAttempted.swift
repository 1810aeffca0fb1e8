// SPDX-License-Identifier: Apache-2.0

/// An error of a guard that kept the call from being made.
///
/// The other side has not seen the call: it says nothing about the other side's health, and making the call later is not
/// making it twice. A circuit breaker counts such an error neither as a failure nor as a success, and a retry does not wait
/// longer for it than its policy says.
///
/// ```swift
/// struct QueueFull: CallNotAttempted {}
/// ```
public protocol CallNotAttempted: Error {}
