// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// An envelope of ten attributes, three headers and 200 bytes, to CloudEvents and back.
enum CloudEventsWorkloads {
    // MARK: Binary

    static func encode(_ naming: CloudEventsHeaderNaming, _ name: String) -> Workload {
        Workload("CloudEvents \(name), written") { count in
            let format = CloudEventsBinaryFormat(naming)
            let envelope = Samples.fullEnvelope()
            return {
                for _ in 0..<count { sink(try format.encode(envelope)) }
            }
        }
    }

    static func decode(_ naming: CloudEventsHeaderNaming, _ name: String) -> Workload {
        Workload("CloudEvents \(name), read") { count in
            let format = CloudEventsBinaryFormat(naming)
            let envelope = Samples.fullEnvelope()
            let (headers, payload) = try format.encode(envelope)
            try WorkloadError.check(
                try format.decode(headers: headers, payload: payload), is: envelope, "The envelope after a round trip"
            )
            return {
                for _ in 0..<count { sink(try format.decode(headers: headers, payload: payload)) }
            }
        }
    }

    /// The same headers and payload, each value copied byte by byte.
    static let copiedHeaders = Workload("the same strings and bytes copied") { count in
        let (headers, payload) = try CloudEventsBinaryFormat(.kafka).encode(Samples.fullEnvelope())
        return {
            for _ in 0..<count {
                var copies: [CloudEventsBinaryFormat.Header] = []
                copies.reserveCapacity(headers.count)
                for header in headers {
                    let value = String(decoding: header.value.utf8, as: UTF8.self)
                    copies.append(Headers.Element(name: header.name, value: value))
                }
                sink(copies)
                sink(
                    Bytes(unsafeUninitializedCapacity: payload.count) { buffer, count in
                        count = buffer.initialize(fromContentsOf: payload)
                    })
            }
        }
    }

    // MARK: Structured

    static let encodeJSON = Workload("CloudEvents JSON, written") { count in
        let format = CloudEventsJSONFormat()
        let envelope = Samples.fullEnvelope()
        return {
            for _ in 0..<count { sink(try format.encode(envelope)) }
        }
    }

    static let decodeJSON = Workload("CloudEvents JSON, read") { count in
        let format = CloudEventsJSONFormat()
        let envelope = Samples.fullEnvelope()
        let bytes = try format.encode(envelope)
        try WorkloadError.check(try format.decode(bytes), is: envelope, "The envelope after a round trip")
        return {
            for _ in 0..<count { sink(try format.decode(bytes)) }
        }
    }
}
