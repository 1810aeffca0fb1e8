// SPDX-License-Identifier: Apache-2.0

/// The bytes of a payload.
public typealias Bytes = [UInt8]
