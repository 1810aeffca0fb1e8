// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import Foundation

@main
enum OrderCheckout {
    static func main() async {
        let options: Options
        do {
            options = try Options(CommandLine.arguments.dropFirst())
        } catch {
            complain("OrderCheckout: \(error.message) Try 'OrderCheckout --help'.")
            exit(64)
        }
        if options.help {
            print(Options.usage)
            exit(0)
        }
        do {
            let isClean = try await run(options)
            exit(isClean ? 0 : 1)
        } catch let error as OrderFile.Missing {
            complain("OrderCheckout: \(error.message)")
            exit(66)
        } catch {
            complain("OrderCheckout: the run was given up: \(error)")
            exit(70)
        }
    }

    private static func run(_ options: Options) async throws -> Bool {
        let path = try options.orders ?? shippedOrders()
        let file = try OrderFile(path: path)
        let name = options.orders == nil ? "the example's own file" : file.name
        let bookkeeper = Bookkeeper()
        let progress = Progress(isShown: isatty(2) == 1 && !options.json)
        let started = SystemTime().monotonic()
        let result =
            if options.workers == 1 {
                try await runInOneLine(file, options: options, bookkeeper: bookkeeper, progress: progress)
            } else {
                try await runSideBySide(file, options: options, bookkeeper: bookkeeper, progress: progress)
            }
        progress.clear()
        let report = Report(
            audit: result.audit, figures: result.figures, fileName: name, orderOfInterest: result.orderOfInterest,
            without: options.without, seconds: (SystemTime().monotonic() - started).inSeconds
        )
        print(options.json ? report.json : report.text)
        if options.json, !result.audit.isClean {
            for complaint in result.audit.complaints { complain(complaint) }
        }
        return result.audit.isClean
    }

    private typealias MemoryShop = Shop<InMemoryDatabase, InMemoryTransport>

    /// On all cores and by the machine's clock.
    private static func runSideBySide(
        _ file: consuming OrderFile, options: Options, bookkeeper: Bookkeeper, progress: Progress
    ) async throws -> MemoryShop.Result {
        let runtime = Runtime(random: SeededRandom(seed: options.seed), instrument: bookkeeper)
        let file = OpenFile(file)
        return try await Runtime.$current.withValue(runtime) {
            try await shop(options, bookkeeper, progress).run(file)
        }
    }

    /// On one task at a time and on virtual time, so that the seed decides everything.
    private static func runInOneLine(
        _ file: consuming OrderFile, options: Options, bookkeeper: Bookkeeper, progress: Progress
    ) async throws -> MemoryShop.Result {
        let file = OpenFile(file)
        let limits = Simulation.Limits(jobs: .max)
        return try await Simulation(seed: options.seed, limits: limits, instrument: bookkeeper).run {
            try await shop(options, bookkeeper, progress).run(file)
        }
    }

    private static func shop(_ options: Options, _ bookkeeper: Bookkeeper, _ progress: Progress) -> MemoryShop {
        let faults = TransportFaults(
            publishFails: options.drop, storedAnyway: 0.5, duplicate: options.duplicate,
            reorder: options.reorder ? 0.2 : 0, lose: options.drop
        )
        return Shop(
            options: options, bookkeeper: bookkeeper,
            bus: InMemoryTransport(redeliveryDelay: .milliseconds(50), faults: faults),
            orderDatabase: InMemoryDatabase(), paymentDatabase: InMemoryDatabase(),
            inventoryDatabase: InMemoryDatabase(),
            onProgress: { accepted, ended in progress.show(accepted: accepted, ended: ended) }
        )
    }

    private static func shippedOrders() throws -> String {
        guard let url = Bundle.module.url(forResource: "orders", withExtension: "jsonl") else {
            throw OrderFile.Missing(message: "the file of orders that comes along is not beside the program")
        }
        return url.path
    }

    private static func complain(_ line: String) {
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }
}
