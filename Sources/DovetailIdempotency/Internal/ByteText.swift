// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Text that is compared byte by byte: for a `String`, two ways to write an accent are the same.
struct ByteText: Hashable, Sendable {
    let text: String

    init(_ text: String) {
        self.text = text
    }

    static func == (left: Self, right: Self) -> Bool {
        left.text.comparesBytes(to: right.text) == 0
    }

    func hash(into hasher: inout Hasher) {
        let isDone: Void? = text.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if isDone == nil { for byte in text.utf8 { hasher.combine(byte) } }
        hasher.combine(text.utf8.count)
    }
}

/// A key within its scope.
struct ScopedKey: Hashable, Sendable {
    let scope: ByteText
    let key: ByteText

    init(_ key: IdempotencyKey, in scope: IdempotencyScope) {
        self.scope = ByteText(scope.rawValue)
        self.key = ByteText(key.rawValue)
    }
}
