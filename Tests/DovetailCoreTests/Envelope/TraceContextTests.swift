// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct TraceContextTests {
    static let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test("Header fields carry a context over unchanged")
    func roundTrip() throws {
        let headers = [(name: "traceparent", value: Self.parent), (name: "tracestate", value: "a=1,b=2")]
        let context = try #require(TraceContext.extract(from: headers))
        #expect(context.headers.map(\.name) == headers.map(\.name))
        #expect(context.headers.map(\.value) == headers.map(\.value))
    }

    @Test("Names match in any case, and only whole names")
    func names() {
        #expect(TraceContext.extract(from: [("TrAcEpArEnT", Self.parent)]) != nil)
        #expect(TraceContext.extract(from: [("trace-parent", Self.parent)]) == nil)
        #expect(TraceContext.extract(from: [("traceparen\u{54}", Self.parent)]) != nil)
        #expect(TraceContext.extract(from: [("traceparen\u{14}", Self.parent)]) == nil)
    }

    @Test("A second traceparent makes both worthless, even if it is malformed or the same")
    func duplicatedTraceParent() {
        for second in [Self.parent, "nonsense", ""] {
            #expect(TraceContext.extract(from: [("traceparent", Self.parent), ("Traceparent", second)]) == nil)
            #expect(TraceContext.extract(from: [("traceparent", second), ("Traceparent", Self.parent)]) == nil)
        }
    }

    @Test("A malformed tracestate is dropped and the trace goes on")
    func malformedTraceState() {
        let context = TraceContext.extract(from: [
            ("traceparent", Self.parent), ("tracestate", "a=1"), ("tracestate", "B=2"),
        ])
        #expect(context?.traceParent.text == Self.parent)
        #expect(context?.traceState == nil)
        #expect(context?.headers.count == 1)
    }

    @Test("A child keeps trace and state and never its parent's span, whatever the random source gives")
    func child() throws {
        let headers = [(name: "traceparent", value: Self.parent), (name: "tracestate", value: "a=1")]
        let context = try #require(TraceContext.extract(from: headers))
        for value in [0, 1, 2, context.traceParent.parentID, .max] {
            var random = UUIDv7Tests.ConstantRandom(value: value)
            var current = context
            for _ in 0..<3 {
                let child = current.child(using: &random)
                #expect(child.traceParent.traceID == context.traceParent.traceID)
                #expect(child.traceParent.parentID != current.traceParent.parentID)
                #expect(child.traceParent.isSampled)
                #expect(child.traceState == context.traceState)
                #expect(TraceParent(child.traceParent.text) == child.traceParent)
                current = child
            }
        }
    }

    @Test("A root has valid identifiers from any source, and is sampled as asked")
    func root() {
        for value in [0, 1, .max] as [UInt64] {
            var random = UUIDv7Tests.ConstantRandom(value: value)
            for isSampled in [true, false] {
                let root = TraceContext.root(isSampled: isSampled, using: &random)
                #expect(TraceParent(root.traceParent.text) == root.traceParent)
                #expect(root.traceParent.isSampled == isSampled)
                #expect(root.traceState == nil)
            }
        }
    }
}
