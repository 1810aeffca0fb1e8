// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import Dovetail
    import Foundation
    import Testing

    @testable import DovetailRabbitMQ

    @Suite struct AMQPWatchTests {
        @Test("A watch that was stopped holds no file open")
        func stopped() {
            // It need not be a socket as long as it is not cut.
            let number = open("/dev/null", O_RDONLY)
            defer { close(number) }
            let watch = AMQPWatch(limit: .seconds(1), time: SystemTime())
            weak var held: AMQPCutter?
            do {
                let cutter = AMQPCutter(of: number)
                held = cutter
                watch.begin(cutter, until: nil)
            }
            #expect(held != nil)
            watch.stop()
            withExtendedLifetime(watch) { #expect(held == nil) }
        }
    }
#endif
