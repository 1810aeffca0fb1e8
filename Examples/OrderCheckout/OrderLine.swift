// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation

/// One order as a line of the file has it, checked.
struct OrderLine: Sendable, Equatable {
    var orderID: String
    var customerID: String
    var sku: String
    var quantity: Int
    var cents: Int
    var placedAt: Timestamp

    /// Why a line cannot be read, in words for the person who wrote the file.
    struct Unreadable: Error, Equatable {
        let reason: String
    }

    /// The largest value of one order; more is a mistake in the file.
    static let mostCents = 1_000_000_000_000

    /// The largest quantity of one order; more is a mistake in the file.
    static let mostQuantity = 1_000_000_000

    /// The most bytes of a text; more is a mistake in the file, and no key for every database.
    static let mostBytes = 200

    /// Reads a line of JSON.
    init(json: String) throws(Unreadable) {
        let fields: Fields
        do {
            fields = try JSONDecoder().decode(Fields.self, from: Data(json.utf8))
        } catch DecodingError.keyNotFound(let key, _) {
            throw Unreadable(reason: "the field '\(key.stringValue)' is missing")
        } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
            let name = context.codingPath.last?.stringValue
            throw Unreadable(
                reason: name.map { "the field '\($0)' is not \(Self.kind(of: $0))" } ?? "the line is not a JSON object"
            )
        } catch DecodingError.dataCorrupted(let context) where !context.codingPath.isEmpty {
            let name = context.codingPath.last?.stringValue ?? ""
            throw Unreadable(reason: "the field '\(name)' is not \(Self.kind(of: name))")
        } catch {
            throw Unreadable(reason: "the line is not valid JSON")
        }
        try self.init(
            orderID: fields.orderID, customerID: fields.customerID, sku: fields.sku, quantity: fields.quantity,
            cents: fields.cents, placedAt: fields.placedAt
        )
    }

    /// Reads the fields of a line of CSV.
    init(csv values: [String], columns: [String: Int]) throws(Unreadable) {
        func text(_ name: String) throws(Unreadable) -> String {
            guard let index = columns[name], index < values.count else {
                throw Unreadable(reason: "the field '\(name)' is missing")
            }
            return values[index]
        }
        func whole(_ name: String) throws(Unreadable) -> Int {
            let text = try text(name)
            guard let value = Int(text) else { throw Unreadable(reason: "the field '\(name)' is not a whole number") }
            return value
        }
        try self.init(
            orderID: text("orderID"), customerID: text("customerID"), sku: text("sku"), quantity: whole("quantity"),
            cents: whole("cents"), placedAt: text("placedAt")
        )
    }

    private init(
        orderID: String, customerID: String, sku: String, quantity: Int, cents: Int, placedAt: String
    ) throws(Unreadable) {
        try Self.check(orderID, of: "orderID")
        try Self.check(customerID, of: "customerID")
        try Self.check(sku, of: "sku")
        try Self.check(placedAt, of: "placedAt")
        guard quantity >= 1 else { throw Unreadable(reason: "the quantity is \(quantity), not 1 or more") }
        guard quantity <= Self.mostQuantity else {
            throw Unreadable(reason: "the quantity is more than \(Self.mostQuantity)")
        }
        guard cents >= 0 else { throw Unreadable(reason: "cents is \(cents), not 0 or more") }
        guard cents <= Self.mostCents else { throw Unreadable(reason: "cents is more than \(Self.mostCents)") }
        guard let time = Self.time(placedAt) else {
            throw Unreadable(reason: "placedAt '\(placedAt.prefix(40))' is not an ISO 8601 time")
        }
        self.orderID = orderID
        self.customerID = customerID
        self.sku = sku
        self.quantity = quantity
        self.cents = cents
        self.placedAt = time
    }

    /// Refuses what some database cannot keep, or what would do something to the terminal it is shown on.
    private static func check(_ text: String, of field: String) throws(Unreadable) {
        guard !text.isEmpty else { throw Unreadable(reason: "the field '\(field)' is empty") }
        guard text.utf8.count <= mostBytes else {
            throw Unreadable(reason: "the field '\(field)' is longer than \(mostBytes) bytes")
        }
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            throw Unreadable(reason: "the field '\(field)' has control characters in it")
        }
    }

    /// ISO 8601 as people write it: a date, or a date and a time with or without seconds and offset; UTC without one.
    private static func time(_ text: String) -> Timestamp? {
        if let time = Timestamp(rfc3339: text) { return time }
        let parts = text.split(separator: "T", maxSplits: 1, omittingEmptySubsequences: false)
        guard let date = parts.first, parts.count == 2 else { return Timestamp(rfc3339: text + "T00:00:00Z") }
        let clock = parts[1].prefix { $0.isNumber || $0 == ":" || $0 == "." }
        let offset = parts[1].dropFirst(clock.count)
        let seconds = clock.filter { $0 == ":" }.count == 1 ? ":00" : ""
        return Timestamp(rfc3339: "\(date)T\(clock)\(seconds)\(offset.isEmpty ? "Z" : offset)")
    }

    private static func kind(of field: String) -> String {
        field == "quantity" || field == "cents" ? "a whole number" : "a text"
    }

    private struct Fields: Decodable {
        let orderID: String
        let customerID: String
        let sku: String
        let quantity: Int
        let cents: Int
        let placedAt: String
    }
}
