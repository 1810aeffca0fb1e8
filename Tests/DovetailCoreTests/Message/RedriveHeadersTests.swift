// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct RedriveHeadersTests {
    @Test(
        "How often a message was redriven is read from a header that may hold anything",
        arguments: [
            ("", "1"), ("3", "4"), ("-5", "1"), ("many", "1"), ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "1"),
        ])
    func count(_ header: String, _ next: String) {
        var attributes = EnvelopeAttributes(id: "1", source: "/s", type: "t")
        attributes.headers[RedriveHeaders.redrives] = header
        let letter = DeadLetter(
            id: "1", content: .envelope(Envelope(attributes, payload: [])), topic: "t", position: "", consumer: "c",
            attempts: 1, reason: .poison, failure: FailureDetail(type: "E", message: "m"), time: .epoch)
        RedriveHeaders.mark(&attributes.headers, from: letter)
        #expect(attributes.headers[RedriveHeaders.redrives] == next)
    }
}
