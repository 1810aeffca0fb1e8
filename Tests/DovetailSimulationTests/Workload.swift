// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Synchronization

/// Lines in the order in which they were added.
final class Trace: Sendable, Equatable {
    private let storage = Mutex<[String]>([])

    var lines: [String] { storage.withLock { $0 } }

    func add(_ line: String) { storage.withLock { $0.append(line) } }

    static func == (left: Trace, right: Trace) -> Bool { left.lines == right.lines }
}

/// A value that tasks share.
final class Box<Value: Sendable>: Sendable {
    private let storage: Mutex<Value>

    init(_ value: Value) { storage = Mutex(value) }

    var value: Value {
        get { storage.withLock { $0 } }
        set { storage.withLock { $0 = newValue } }
    }
}

extension Sequence {
    func asyncMap<Result>(_ transform: (Element) async throws -> Result) async rethrows -> [Result] {
        var results: [Result] = []
        for element in self { results.append(try await transform(element)) }
        return results
    }
}

/// Something of everything that runs concurrently.
enum Workload {
    actor Counter {
        private var total = 0

        func add(_ number: Int) -> Int {
            total += number
            return total
        }
    }

    static func trace(seed: UInt64) async throws -> Trace {
        let trace = Trace()
        try await Simulation(seed: seed).run { await run(trace) }
        return trace
    }

    static func run(_ trace: Trace) async {
        let counter = Counter()
        let wakeUp = WakeUp()
        let (stream, numbers) = AsyncStream<Int>.makeStream()
        await withTaskGroup(of: Void.self) { readers in
            readers.addTask { for await number in stream { trace.add("received \(number)") } }
            readers.addTask { while (try? await wakeUp.wait(atMost: .seconds(5))) != nil { trace.add("woken") } }
            await withThrowingTaskGroup(of: Void.self) { writers in
                for writer in 0..<20 {
                    writers.addTask {
                        for round in 0..<5 {
                            trace.add("\(writer).\(round) \(await counter.add(writer))")
                            let pause = Runtime.current.random.next() % 3
                            try await Runtime.current.time.sleep(for: .milliseconds(pause))
                            numbers.yield(writer)
                            wakeUp.notify()
                        }
                        async let one = counter.add(1)
                        async let two = counter.add(2)
                        trace.add("\(writer) \(await one) \(await two)")
                        let answer = await withCheckedContinuation { $0.resume(returning: writer) }
                        trace.add("\(answer) at \(Runtime.current.time.now())")
                    }
                }
            }
            numbers.finish()
            readers.cancelAll()
        }
    }
}
