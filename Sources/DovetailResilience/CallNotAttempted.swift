// SPDX-License-Identifier: Apache-2.0

/// An error of a guard that kept the call from being made.
///
/// It says nothing about the other side: a breaker around such a guard counts it neither as a failure nor as a success, and
/// a retry may have the call made after all.
///
/// ```swift
/// struct TooManyCalls: CallNotAttempted {}
/// ```
public protocol CallNotAttempted: Error {}
