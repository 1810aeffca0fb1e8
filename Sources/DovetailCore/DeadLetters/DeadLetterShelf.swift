// SPDX-License-Identifier: Apache-2.0

/// Dead letters in memory, in the order of their places, with their groups and the records of those that left.
struct DeadLetterShelf: Sendable {
    /// In the order of their places; a letter that left leaves a gap until enough of them have gathered.
    private var letters: [DeadLetter?] = []
    /// The places of the letters, at the same indices.
    private var places: [Int64] = []
    private var indices: [String: Int] = [:]
    private var groups: [DeadLetterGroup.ID: DeadLetterGroup] = [:]
    private var records: [Int64: DeadLetterRecord] = [:]
    private var recordsByMessage: [MessageID: [Int64]] = [:]
    private var lastRecord: Int64 = 0
    /// Records before this number are gone.
    private var firstRecord: Int64 = 1

    /// The last place that was given to a letter.
    private(set) var lastPlace: Int64 = 0

    var count: Int { indices.count }

    // MARK: Coming in

    mutating func append(_ new: [DeadLetter]) {
        for letter in new where indices[letter.id] == nil {
            lastPlace += 1
            var kept = letter
            kept.place = lastPlace
            indices[kept.id] = letters.count
            letters.append(kept)
            places.append(lastPlace)
            let group = DeadLetterGroup(of: kept)
            if groups[group.id]?.add(kept) == nil { groups[group.id] = group }
        }
    }

    // MARK: Looking

    func letter(_ id: String) -> DeadLetter? {
        indices[id].flatMap { letters[$0] }
    }

    func find(_ filter: DeadLetterFilter, after place: Int64, limit: Int) -> [DeadLetter] {
        var found: [DeadLetter] = []
        guard limit > 0 else { return found }
        if let ids = filter.letters {
            let named = ids.compactMap(letter).filter { ($0.place ?? 0) > place && filter.matches($0) }
            return Array(named.sorted { ($0.place ?? 0) < ($1.place ?? 0) }.prefix(limit))
        }
        for index in firstIndex(behind: place)..<letters.count {
            guard let letter = letters[index], filter.matches(letter) else { continue }
            found.append(letter)
            if found.count == limit { break }
        }
        return found
    }

    func count(_ filter: DeadLetterFilter, atMost limit: Int) -> Int {
        guard limit > 0 else { return 0 }
        if filter == .all { return min(count, limit) }
        var count = 0
        for letter in letters {
            guard let letter, filter.matches(letter) else { continue }
            count += 1
            if count == limit { break }
        }
        return count
    }

    func groups(after id: DeadLetterGroup.ID?, limit: Int) -> [DeadLetterGroup] {
        let sorted = groups.keys.filter { key in id.map { $0 < key } ?? true }.sorted()
        return sorted.prefix(max(0, limit)).compactMap { groups[$0] }
    }

    func history(of message: MessageID, limit: Int) -> [DeadLetterRecord] {
        (recordsByMessage[message] ?? []).suffix(max(0, limit)).compactMap { records[$0] }
    }

    private func firstIndex(behind place: Int64) -> Int {
        var (low, high) = (0, places.count)
        while low < high {
            let middle = (low + high) / 2
            if places[middle] <= place { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Going out

    mutating func remove(_ ids: [String], _ removal: DeadLetterRemoval) {
        for id in ids {
            guard let index = indices.removeValue(forKey: id), let letter = letters[index] else { continue }
            letters[index] = nil
            let group = DeadLetterGroup.ID(queue: letter.queue, tier: letter.tier, fingerprint: letter.fingerprint)
            groups[group]?.count -= 1
            if let rest = groups[group]?.count, rest <= 0 { groups[group] = nil }
            lastRecord += 1
            records[lastRecord] = DeadLetterRecord(of: letter, removal: removal)
            if let message = letter.envelope?.attributes.id {
                recordsByMessage[message, default: []].append(lastRecord)
            }
        }
        compact()
    }

    mutating func sweep(before time: Timestamp, _ removal: DeadLetterRemoval, limit: Int) -> DeadLetterSweep {
        let old = find(DeadLetterFilter(before: time), after: 0, limit: limit).map(\.id)
        remove(old, removal)
        var swept = DeadLetterSweep(letters: old.count, records: 0)
        while swept.letters + swept.records < limit, firstRecord <= lastRecord {
            guard let record = records[firstRecord] else {
                firstRecord += 1
                continue
            }
            guard record.removal.time < time else { break }
            records[firstRecord] = nil
            recordsByMessage[record.message]?.removeAll { $0 == firstRecord }
            if recordsByMessage[record.message]?.isEmpty ?? false { recordsByMessage[record.message] = nil }
            firstRecord += 1
            swept.records += 1
        }
        return swept
    }

    /// Closes the gaps once they are most of what is there, so that what is removed costs little on average.
    private mutating func compact() {
        guard letters.count > 64, letters.count > 2 * indices.count else { return }
        var (kept, keptPlaces): ([DeadLetter?], [Int64]) = ([], [])
        for (index, letter) in letters.enumerated() {
            guard let letter else { continue }
            indices[letter.id] = kept.count
            kept.append(letter)
            keptPlaces.append(places[index])
        }
        (letters, places) = (kept, keptPlaces)
    }
}
