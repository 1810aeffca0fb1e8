// SPDX-License-Identifier: Apache-2.0

/// Names and values that travel beside a payload, in the order they were set.
///
/// Names are compared without regard to ASCII case, since several transports do not keep it, and are kept as written.
///
/// ```swift
/// var headers: Headers = ["reply-to": "shop.replies"]
/// headers["attempt"] = "2"
/// ```
public struct Headers: Sendable, Hashable {
    /// One name with its value.
    public struct Element: Sendable, Hashable {
        /// The name, as written.
        public var name: String

        /// The value.
        public var value: String

        /// Creates a header.
        ///
        /// - Parameters:
        ///   - name: The name.
        ///   - value: The value.
        @inlinable
        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    @usableFromInline
    var elements: [Element]

    /// Creates an empty set of headers.
    @inlinable
    public init() {
        elements = []
    }

    /// Creates headers from elements.
    ///
    /// Of several with the same name the last one stays.
    ///
    /// - Parameter elements: The headers.
    public init(_ elements: some Sequence<Element>) {
        self.elements = Array(elements)
        // Nearly always all names differ, and there are few of them.
        if !Self.hasRepeatedNames(self.elements) { return }
        // By their bytes: as texts, two ways to write an accent would be one name.
        var positions: [Bytes: Int] = [:]
        let elements = self.elements
        self.elements = []
        for element in elements {
            let name = Bytes(element.name.lowercasedASCII.utf8)
            if let position = positions[name] {
                self.elements[position].value = element.value
            } else {
                positions[name] = self.elements.count
                self.elements.append(element)
            }
        }
    }

    /// Tells whether two names are equal but for their case.
    private static func hasRepeatedNames(_ elements: [Element]) -> Bool {
        if elements.count > 16 {
            // Headers come from outside: comparing each with each must not become the work of a flood of them.
            return Set(elements.lazy.map(\.name.lowercasedASCII)).count < elements.count
        }
        return elements.withUnsafeBufferPointer { elements in
            for index in elements.indices {
                for other in 0..<index
                where elements[index].name.utf8.count == elements[other].name.utf8.count
                    && elements[index].name.equalsIgnoringASCIICase(elements[other].name)
                {
                    return true
                }
            }
            return false
        }
    }

    /// The value of a header; set it to `nil` to remove the header.
    ///
    /// - Parameter name: The name, in any case.
    public subscript(name: String) -> String? {
        get {
            elements.first { $0.name.equalsIgnoringASCIICase(name) }?.value
        }
        set {
            let index = elements.firstIndex { $0.name.equalsIgnoringASCIICase(name) }
            switch (index, newValue) {
            case (let index?, let value?): elements[index].value = value
            case (let index?, nil): elements.remove(at: index)
            case (nil, let value?): elements.append(Element(name: name, value: value))
            case (nil, nil): break
            }
        }
    }

    /// The bytes that names and values take together.
    public var byteCount: Int {
        elements.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count }
    }
}

extension Headers: RandomAccessCollection {
    /// The position of the first header.
    public var startIndex: Int { elements.startIndex }

    /// The position after the last header.
    public var endIndex: Int { elements.endIndex }

    /// The header at a position.
    ///
    /// - Parameter position: A position between ``startIndex`` and ``endIndex``.
    public subscript(position: Int) -> Element { elements[position] }
}

extension Headers: ExpressibleByDictionaryLiteral {
    /// Creates headers from a literal.
    ///
    /// - Parameter pairs: Names with their values.
    public init(dictionaryLiteral pairs: (String, String)...) {
        self.init(pairs.map { Element(name: $0.0, value: $0.1) })
    }
}

extension String {
    /// Compares two names byte by byte, treating `A` to `Z` like `a` to `z`.
    package func equalsIgnoringASCIICase(_ other: String) -> Bool {
        guard utf8.count == other.utf8.count else { return false }
        let answer = utf8.withContiguousStorageIfAvailable { own in
            other.utf8.withContiguousStorageIfAvailable { other in
                for index in own.indices where own[index] != other[index] {
                    guard own[index].lowercasedASCII == other[index].lowercasedASCII else { return false }
                }
                return true
            }
        }
        if case let answer?? = answer { return answer }
        return zip(utf8, other.utf8).allSatisfy { $0.lowercasedASCII == $1.lowercasedASCII }
    }

    /// The text with `A` to `Z` replaced by `a` to `z`.
    package var lowercasedASCII: String {
        String(decoding: utf8.map(\.lowercasedASCII), as: UTF8.self)
    }
}

extension UInt8 {
    fileprivate var lowercasedASCII: UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) ? self | 0x20 : self
    }
}
