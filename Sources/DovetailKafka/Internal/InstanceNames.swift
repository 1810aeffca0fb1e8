// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// The names under which the members of one process stay members of their groups while they are away.
///
/// A group lets a member in that comes under a name it knows, and turns out whoever had the name before. So each member of a group
/// takes a name that no other has now; a process that starts again takes the same ones, whichever member comes first.
final class InstanceNames: Sendable {
    /// A name that is taken, until it is given back or forgotten.
    final class Taken: Sendable {
        let name: String
        private let names: InstanceNames
        private let group: ConsumerGroup
        private let number: Int
        private let isTaken = Mutex(true)

        fileprivate init(_ name: String, _ number: Int, in group: ConsumerGroup, of names: InstanceNames) {
            self.name = name
            self.number = number
            self.group = group
            self.names = names
        }

        deinit {
            giveBack()
        }

        /// Lets others have the name; does nothing if called again.
        func giveBack() {
            let isFirst = isTaken.withLock { isTaken in
                defer { isTaken = false }
                return isTaken
            }
            if isFirst { names.giveBack(number, in: group) }
        }
    }

    /// What Kafka takes.
    private static let longest = 249

    private let first: String
    private let taken = Mutex<[ConsumerGroup: Set<Int>]>([:])

    /// - Throws: ``TransportError`` with the code `refused` if Kafka would not take the name.
    init(_ first: String) throws(TransportError) {
        // Later members have a number behind it.
        guard (1...Self.longest - 8).contains(first.utf8.count), first != ".", first != "..",
            first.utf8.allSatisfy(TopicName.isPlain)
        else {
            throw TransportError(
                .refused,
                "The instance '\(first.prefix(60))' is no name that Kafka takes: it must have 1 to \(Self.longest - 8) letters, "
                    + "digits, '.', '_' and '-'. Give the process another one.")
        }
        self.first = first
    }

    func take(in group: ConsumerGroup) -> Taken {
        let number = taken.withLock { taken in
            var number = 1
            while taken[group, default: []].contains(number) { number += 1 }
            taken[group, default: []].insert(number)
            return number
        }
        return Taken(number == 1 ? first : "\(first)-\(number)", number, in: group, of: self)
    }

    private func giveBack(_ number: Int, in group: ConsumerGroup) {
        taken.withLock { taken in
            taken[group]?.remove(number)
            if taken[group]?.isEmpty == true { taken[group] = nil }
        }
    }
}
