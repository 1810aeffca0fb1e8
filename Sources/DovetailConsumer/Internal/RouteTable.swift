// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The routes of a consumer by type and major version.
struct RouteTable: Sendable {
    private struct Key: Hashable, Sendable {
        let type: MessageType
        let major: Int
    }

    enum Match: Sendable {
        case route(On)
        /// The type is known in these other major versions.
        case otherVersion([Int])
        case unknown
    }

    private let routes: [Key: On]
    private let majors: [MessageType: [Int]]
    /// The topics to read, each once, in the order of the routes.
    let topics: [Topic]
    /// Where messages wait if the consumer names no other place: the first that a route names.
    let waitingRoom: WaitingRoom?

    /// - Throws: ``ConsumerError`` naming what is wrong.
    init(_ list: [On], of consumer: String) throws(ConsumerError) {
        guard !consumer.isEmpty else {
            throw ConsumerError(
                .invalidName,
                "A consumer has an empty name. Give it one that stays the same for the life of the service.")
        }
        guard !list.isEmpty else {
            throw ConsumerError(
                .noRoutes,
                "The consumer '\(consumer)' has no route. Add one such as `On(OrderPlaced.self) { order, context in … }`."
            )
        }
        var routes: [Key: On] = [:]
        var majors: [MessageType: [Int]] = [:]
        var topics: [Topic] = []
        for route in list {
            do {
                try route.type.validate()
            } catch {
                throw ConsumerError(
                    .invalidRoute, "A route of the consumer '\(consumer)' has a malformed type.", cause: error)
            }
            guard !route.topic.rawValue.isEmpty else {
                throw ConsumerError(
                    .invalidRoute, "The route for '\(route.type)' of the consumer '\(consumer)' has an empty topic.")
            }
            let key = Key(type: route.type, major: route.version.major)
            guard routes.updateValue(route, forKey: key) == nil else {
                throw ConsumerError(
                    .duplicateRoute,
                    "The consumer '\(consumer)' has two routes for '\(route.type)' of version \(route.version.major). "
                        + "Keep one, or use two consumers of different names.")
            }
            majors[route.type, default: []].append(route.version.major)
            if !topics.contains(route.topic) { topics.append(route.topic) }
        }
        self.routes = routes
        self.majors = majors
        self.topics = topics
        waitingRoom = list.lazy.compactMap(\.waitingRoom).first
    }

    func match(_ attributes: EnvelopeAttributes) -> Match {
        if let route = routes[Key(type: attributes.type, major: attributes.version.major)] { return .route(route) }
        return majors[attributes.type].map { .otherVersion($0.sorted()) } ?? .unknown
    }
}
