// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailKafka

@Suite
struct KafkaMeasurementTests {
    @Test("The figures are read that tell whether a client keeps up; what is not known is left out")
    func figures() throws {
        let json = """
            {"name":"rdkafka#1","ts":1,"msg_cnt":3,"msg_size":400,"txmsgs":17,"rxmsgs":9,"new":[{"a":null}],
            "brokers":{"b:2":{"name":"b:2/2","state":"UP","req_timeouts":1,"waitresp_cnt":2,"rtt":{"avg":1500,"cnt":4}},
            "a:1":{"name":"a:1/1","state":"DOWN","rtt":{"avg":0,"cnt":0},"req":{"Fetch":2}}},
            "topics":{"t":{"topic":"t","partitions":{"0":{"partition":0,"consumer_lag":5},
            "1":{"consumer_lag":-1},"2":{"consumer_lag":7,"rxmsgs":1}}},"u":{"age":1}}}
            """
        let found = try #require(KafkaMeasurement(json: Bytes(json.utf8)))
        #expect(found.queuedMessages == 3)
        #expect(found.queuedBytes == 400)
        #expect(found.sentMessages == 17)
        #expect(found.receivedMessages == 9)
        #expect(found.lag == 12)
        #expect(found.brokers.map(\.name) == ["a:1/1", "b:2/2"])
        #expect(found.brokers.map(\.state) == ["DOWN", "UP"])
        #expect(found.brokers.map(\.roundTrip) == [nil, .microseconds(1500)])
        #expect(found.brokers[1].timeouts == 1)
        #expect(found.brokers[1].unanswered == 2)
        #expect(KafkaMeasured(group: nil, found).duration == .microseconds(1500))
    }

    @Test(
        "Figures of another form are left as they are, and numbers of any size do no harm",
        arguments: [
            #"{}"#, #"{"msg_cnt":"3","brokers":[1,2],"topics":null}"#, #"{"msg_cnt":-5,"txmsgs":1e99}"#,
            #"{"brokers":{"a":7},"topics":{"t":{"partitions":{"0":{"consumer_lag":"x"}}}}}"#, "[]", "7",
        ])
    func strange(json: String) {
        #expect(KafkaMeasurement(json: Bytes(json.utf8))?.queuedMessages == 0)
    }

    @Test("The largest numbers add up to the largest number")
    func saturated() {
        let json = #"{"topics":{"t":{"partitions":{"0":{"consumer_lag":9223372036854775807},"1":{"consumer_lag":9}}}}}"#
        #expect(KafkaMeasurement(json: Bytes(json.utf8))?.lag == .max)
    }

    @Test(
        "What is no JSON is no measurement",
        arguments: ["", "{", #"{"msg_cnt":}"#, #"{"a":1}x"#, #"{"brokers":{"#, "\u{0}"]
    )
    func noJSON(text: String) {
        #expect(KafkaMeasurement(json: Bytes(text.utf8)) == nil)
    }
}
