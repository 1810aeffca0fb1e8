// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore

    /// How a SQLite file is opened and used.
    public struct SQLiteConfiguration: Sendable {
        /// When a commit counts as done.
        public struct Synchronous: Sendable, Hashable {
            private enum Base: String, Sendable { case full, normal }
            private let base: Base

            /// When the disk has it: a commit survives a loss of power.
            ///
            /// The default.
            public static let full = Synchronous(base: .full)

            /// When the operating system has it.
            ///
            /// Commits are many times faster; a loss of power, though not the end of the program, can
            /// take back the last of them. The file stays sound.
            public static let normal = Synchronous(base: .normal)

            var pragma: String { base.rawValue.uppercased() }
        }

        /// When a commit counts as done.
        public var synchronous: Synchronous

        /// How long to wait for another program that holds a lock before it fails with `locked`.
        ///
        /// Within this program, transactions wait for each other for as long as it takes.
        public var busyTimeout: Duration

        /// How many transactions may read at the same time; at least 1.
        public var readers: Int

        /// Creates a configuration.
        ///
        /// - Parameters:
        ///   - synchronous: When a commit counts as done.
        ///   - busyTimeout: How long to wait for another program that holds a lock.
        ///   - readers: How many transactions may read at the same time; at least 1.
        public init(synchronous: Synchronous = .full, busyTimeout: Duration = .seconds(10), readers: Int = 4) {
            self.synchronous = synchronous
            self.busyTimeout = busyTimeout
            self.readers = max(1, readers)
        }
    }
#endif
