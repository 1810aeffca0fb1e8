// SPDX-License-Identifier: Apache-2.0

/// The recorded keys of all scopes.
///
/// Most keys are UUIDs, which take sixteen bytes instead of a string of 36.
struct OnceKeys: Sendable {
    private struct Keys: Sendable {
        var uuids = ExpiringKeys<UUIDKey>()
        var texts = ExpiringKeys<ByteText>()
    }

    private var scopes: [ByteText: Keys] = [:]

    func contains(_ id: ScopedKey, at now: Int64) -> Bool {
        guard let keys = scopes[id.scope] else { return false }
        if let uuid = UUIDKey(id.key.text) { return keys.uuids.contains(uuid, at: now) }
        return keys.texts.contains(id.key, at: now)
    }

    mutating func insert(_ id: ScopedKey, at now: Int64, span: Int64) {
        if let uuid = UUIDKey(id.key.text) {
            scopes[id.scope, default: Keys()].uuids.insert(uuid, at: now, span: span)
        } else {
            scopes[id.scope, default: Keys()].texts.insert(id.key, at: now, span: span)
        }
    }

    mutating func sweep(at now: Int64, limit: Int) -> Int {
        var swept = 0
        for scope in scopes.keys.sorted(by: { $0.text < $1.text }) where swept < limit {
            guard var keys = scopes.removeValue(forKey: scope) else { continue }
            swept += keys.uuids.sweep(at: now, limit: limit - swept)
            swept += keys.texts.sweep(at: now, limit: limit - swept)
            if !keys.uuids.isEmpty || !keys.texts.isEmpty { scopes[scope] = keys }
        }
        return swept
    }
}
