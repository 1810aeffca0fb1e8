// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Foundation
import Testing

/// Runs the public suite of the JSON format: every valid event against its golden sample, every invalid one against the
/// decoder.
@Suite struct CloudEventsSuiteTests {
    private let format = CloudEventsJSONFormat()

    @Test(
        "The public suite of the CloudEvents JSON format holds",
        .enabled(if: CloudEventsSuite.isPresent, "suite not found"),
        arguments: CloudEventsSuite.load()
    )
    func publicSuite(test: CloudEventsSuite.Test) throws {
        switch test.type {
        case "ValidSingleEvent":
            #expect(try format.decode(test.content) == CloudEventsSuite.golden(test.sampleID))
        case "ValidBatch":
            #expect(try format.decodeBatch(test.content) == CloudEventsSuite.goldenBatch(test.sampleID))
        case "InvalidSingleEvent":
            let error = #expect(throws: MessageError.self) { try format.decode(test.content) }
            #expect(error?.code == .invalidCloudEvent)
        case "InvalidBatch":
            let error = #expect(throws: MessageError.self) { try format.decodeBatch(test.content) }
            #expect(error?.code == .invalidCloudEvent)
        default:
            Issue.record("\(test.id) is of an unknown type \(test.type)")
        }
    }

    @Test(
        "What the suite calls valid is written as something that it calls valid",
        .enabled(if: CloudEventsSuite.isPresent, "suite not found"),
        arguments: CloudEventsSuite.load().filter { $0.type == "ValidSingleEvent" }
    )
    func writtenAgain(test: CloudEventsSuite.Test) throws {
        let envelope = try format.decode(test.content)
        #expect(try format.decode(format.encode(envelope)) == envelope)
    }

    @Test("All of the suite is there", .enabled(if: CloudEventsSuite.isPresent, "suite not found"))
    func suiteIsComplete() {
        let counts = Dictionary(grouping: CloudEventsSuite.load(), by: \.type).mapValues(\.count)
        #expect(counts["ValidSingleEvent", default: 0] >= 10)
        #expect(counts["InvalidSingleEvent", default: 0] >= 25)
        #expect(counts["ValidBatch", default: 0] >= 5)
        #expect(counts["InvalidBatch", default: 0] >= 3)
    }
}

/// The files of the suite, which stand beside the checkout if they are there at all.
enum CloudEventsSuite {
    /// One test, with the event or the batch exactly as it stands in the file.
    struct Test: Sendable, CustomTestStringConvertible {
        let id: String
        let type: String
        let sampleID: String
        let content: Bytes

        var testDescription: String { id }
    }

    private static let folder = URL(filePath: #filePath)
        .deletingLastPathComponent()
        .appending(path: "../../../../shared/conformance/cloudevents/format-json")
        .standardizedFileURL

    static var isPresent: Bool { FileManager.default.fileExists(atPath: folder.path) }

    static func load() -> [Test] {
        ["valid-events", "invalid-events", "valid-batches", "invalid-batches"].flatMap { name in
            guard let data = try? Data(contentsOf: folder.appending(path: "\(name).json")) else { return [Test]() }
            return (try? tests(in: Bytes(data))) ?? []
        }
    }

    private static func tests(in bytes: Bytes) throws -> [Test] {
        var scanner = JSONScanner(bytes)
        var file = try scanner.beginObject()
        var type = ""
        var tests: [Test] = []
        while let key = try scanner.nextKey(&file) {
            switch key {
            case "testType": type = try scanner.parseString()
            case "tests":
                var array = try scanner.beginArray()
                while try scanner.hasNextElement(&array) { tests.append(try test(of: type, from: &scanner, bytes)) }
            default: try scanner.skipValue()
            }
        }
        return tests
    }

    private static func test(of defaultType: String, from scanner: inout JSONScanner, _ bytes: Bytes) throws -> Test {
        var (id, type, sampleID, content) = ("", defaultType, "", Bytes())
        var object = try scanner.beginObject()
        while let key = try scanner.nextKey(&object) {
            switch key {
            case "id": id = try scanner.parseString()
            case "testType": type = try scanner.parseString()
            case "sampleId": sampleID = try scanner.parseString()
            case "event", "batch": content = Array(bytes[try scanner.skipValue()])
            default: try scanner.skipValue()
            }
        }
        return Test(id: id, type: type, sampleID: sampleID, content: content)
    }

    // MARK: - Golden samples

    /// The events that golden-events.md describes.
    ///
    /// Extensions have no declared types here, so times, URIs and binary values are compared in the form in which JSON
    /// carries them; those tests hold as well.
    static func golden(_ id: String) -> Envelope<Bytes>? {
        var attributes = EnvelopeAttributes(
            id: MessageID(id), source: "https://cloudevents.io", type: "io.cloudevents.test")
        var payload = Bytes()
        switch id {
        case "minimal": break
        case "minimalWithTime": attributes.time = Timestamp(rfc3339: "2018-04-05T17:31:00Z")
        case "minimalWithRelativeSource": attributes.source = "#fragment"
        case "allCore":
            attributes.contentType = "text/plain"
            attributes.schema = .uri("https://cloudevents.io/dataschema")
            attributes.subject = "tests"
            attributes.time = Timestamp(rfc3339: "2018-04-05T17:31:00Z")
        case "simpleTextData":
            attributes.contentType = "text/plain"
            payload = Array("Simple text".utf8)
        case "allExtensionTypes":
            attributes.extensions = [
                "extinteger": .integer(10), "extboolean": .boolean(true), "extstring": "text",
                "exturi": "https://cloudevents.io", "exturiref": "//authority/path",
                "exttimestamp": "2023-03-31T15:12:00Z", "extbinary": "TWE=",
            ]
        default: return nil
        }
        return Envelope(attributes, payload: payload)
    }

    static func goldenBatch(_ id: String) -> [Envelope<Bytes>]? {
        let ids: [String]
        switch id {
        case "empty": ids = []
        case "minimal": ids = ["minimal"]
        case "minimal2": ids = ["minimal", "minimal"]
        case "minimalAndAllCore": ids = ["minimal", "allCore"]
        case "minimalAndAllExtensionTypes": ids = ["minimal", "allExtensionTypes"]
        default: return nil
        }
        return ids.compactMap { golden($0) }
    }
}
