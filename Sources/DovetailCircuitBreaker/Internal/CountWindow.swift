// SPDX-License-Identifier: Apache-2.0

/// The last calls, a ring of two bits a call with running totals.
///
/// The bits are there once a call has failed or was slow: as long as all is well, a window of any size takes a few bytes.
struct CountWindow: Sendable {
    private let places: UInt32
    private(set) var counts = CallCounts()
    /// Where the next call goes.
    private var next: UInt32 = 0
    /// One word for 64 calls, first those of failures, then those of slow calls; empty while all calls were plain.
    private var bits: [UInt64] = []

    /// - Parameter size: How many calls; at least 1 and at most 1,048,576, as the settings have it.
    init(size: Int) {
        places = UInt32(clamping: max(1, size))
    }

    var size: Int { Int(places) }

    private var position: Int {
        get { Int(next) }
        set { next = UInt32(newValue) }
    }

    private var wordCount: Int { (size + 63) / 64 }

    mutating func add(_ call: CountedCall) {
        if call.isPlain { return add(plain: 1) }
        if bits.isEmpty { bits = Array(repeating: 0, count: 2 * wordCount) }
        if let oldest { counts.remove(oldest) }
        counts.add(call)
        let (word, mask) = (position / 64, UInt64(1) << UInt64(position % 64))
        if call.isFailure { bits[word] |= mask } else { bits[word] &= ~mask }
        if call.isSlow { bits[wordCount + word] |= mask } else { bits[wordCount + word] &= ~mask }
        position = position + 1 == size ? 0 : position + 1
    }

    /// Adds many successes that were not slow, a word of the ring at a time.
    mutating func add(plain count: Int) {
        guard count > 0 else { return }
        guard count < size else {
            counts = CallCounts(total: UInt32(size))
            bits = []
            position = 0
            return
        }
        guard !bits.isEmpty else {
            counts.total = UInt32(min(size, Int(counts.total) + count))
            position = (position + count) % size
            return
        }
        var remaining = count
        while remaining > 0 {
            let offset = position % 64
            let step = min(remaining, 64 - offset, size - position)
            clear(word: position / 64, mask: (step == 64 ? .max : (1 << UInt64(step)) - 1) << UInt64(offset))
            position = position + step == size ? 0 : position + step
            remaining -= step
        }
        counts.total = UInt32(min(size, Int(counts.total) + count))
    }

    private mutating func clear(word: Int, mask: UInt64) {
        let failures = bits[word] & mask
        let slow = bits[wordCount + word] & mask
        counts.failures -= UInt32(failures.nonzeroBitCount)
        counts.slow -= UInt32(slow.nonzeroBitCount)
        counts.slowFailures -= UInt32((failures & slow).nonzeroBitCount)
        bits[word] &= ~mask
        bits[wordCount + word] &= ~mask
    }

    /// The call that leaves when another comes; `nil` while there is room.
    var oldest: CountedCall? {
        Int(counts.total) == size ? call(at: position) : nil
    }

    private func call(at index: Int) -> CountedCall {
        guard !bits.isEmpty else { return CountedCall() }
        let mask = UInt64(1) << UInt64(index % 64)
        return CountedCall(isFailure: bits[index / 64] & mask != 0, isSlow: bits[wordCount + index / 64] & mask != 0)
    }

    /// The calls from the oldest to the newest.
    var calls: [CountedCall] {
        let count = Int(counts.total)
        return (0..<count).map { call(at: (position - count + $0 + size) % size) }
    }

    /// The same window in another size, with as many of the newest calls as it takes.
    func resized(to size: Int) -> CountWindow {
        var resized = CountWindow(size: size)
        for call in calls.suffix(size) { resized.add(call) }
        return resized
    }
}
