// SPDX-License-Identifier: Apache-2.0

extension Bulkhead {
    /// The right to one call, held until it is given back.
    ///
    /// It cannot be copied and is given back exactly once: by ``release()``, or else when it goes out of scope, whichever way that
    /// happens. It may be handed on to another task, and may outlive its bulkhead.
    ///
    /// ```swift
    /// guard let permit = uploads.tryAcquire() else { return .busy }
    /// try await store(file)
    /// permit.release()        // or let it go out of scope
    /// ```
    @frozen
    public struct Permit: ~Copyable, Sendable {
        /// Kept alive by the permits that are out, without each retaining it.
        @usableFromInline let core: Unmanaged<BulkheadCore>

        @inlinable
        init(_ core: BulkheadCore) {
            self.core = Unmanaged.passUnretained(core)
        }

        @inlinable
        deinit {
            core._withUnsafeGuaranteedRef { core in core.give() }
        }

        /// Gives the permit back now.
        @inlinable
        public consuming func release() {}
    }
}
