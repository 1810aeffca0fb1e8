// SPDX-License-Identifier: Apache-2.0

public import CFloors

/// Takes a value so that the work that led to it cannot be left out.
///
/// - Parameter value: The value.
@inlinable
@inline(__always)
public func sink<Value>(_ value: Value) {
    withUnsafePointer(to: value) { floor_sink($0) }
}
