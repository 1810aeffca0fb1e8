// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Foundation

@main
enum OrderCheckout {
    private static let program = Program("OrderCheckout")

    static func main() async {
        let options = program.options { (reader) throws(UsageError) in try Options(reader) }
        if options.help { program.finish(Options.usage) }
        do {
            let isClean = try await run(options)
            exit(isClean ? 0 : 1)
        } catch let error as OrderFile.Missing {
            program.fail(error.message, status: 66)
        } catch is Interrupted {
            let advice =
                options.isLasting ? "Run it again with --resume." : "What was in memory ended with the process."
            program.fail("interrupted before all orders had ended. \(advice)", status: 75)
        } catch let error as Unusable {
            program.fail(error.message, status: 69)
        } catch {
            program.fail("the run was given up: \(error)", status: 70)
        }
    }

    private static func run(_ options: Options) async throws -> Bool {
        if options.audit { return try await audit(options) }
        if options.services != nil, options.orders == nil {
            try await Lasting(options: options).open(for: MemberRun(options: options))
            return true
        }
        let path = try options.orders ?? shippedOrders()
        let file = OpenFile(try OrderFile(path: path))
        if options.tour { return try await tour(options, file) }
        let name = options.orders == nil ? "the example's own file" : file.name
        let bookkeeper = Bookkeeper()
        let progress = Progress(isShown: isatty(2) == 1 && !options.json)
        let onProgress: @Sendable (Int, Int) -> Void = { progress.show(accepted: $0, ended: $1) }
        let started = SystemTime().monotonic()
        let ending =
            if !options.isLasting, options.transport == .local {
                try await InMemory(options).run(file, bookkeeper: bookkeeper, onProgress: onProgress)
            } else {
                try await Lasting(options: options).open(
                    for: OrderRun(options: options, file: file, bookkeeper: bookkeeper, onProgress: onProgress)
                )
            }
        progress.clear()
        let seconds = (SystemTime().monotonic() - started).inSeconds
        if options.isPartOfRun { return show(PartReport(ending, fileName: name, seconds: seconds), options) }
        let report = Report(
            audit: Audit(of: ending.books, accepted: ending.outcome.accepted), figures: ending.outcome.figures,
            fileName: name, orderOfInterest: ending.outcome.orderOfInterest, without: options.without, seconds: seconds
        )
        return show(report, options)
    }

    /// From the rows of the three databases, wherever they are.
    private static func audit(_ options: Options) async throws -> Bool {
        let books = try await Lasting(options: options).readBooks()
        guard let position = books.position else {
            throw Unusable(message: "no orders were taken in there yet.")
        }
        return show(
            AuditReport(
                audit: Audit(of: books, accepted: position.accepted), fileName: position.file, without: options.without),
            options)
    }

    /// - Returns: Whether everything is as it should be.
    private static func show(_ report: some ReportText, _ options: Options) -> Bool {
        print(options.json ? report.json : report.text)
        if options.json { for complaint in report.complaints { complain(complaint) } }
        return report.complaints.isEmpty
    }

    /// On databases of its own in a folder that goes away, unless some are named.
    private static func tour(_ options: Options, _ file: OpenFile) async throws -> Bool {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("order-checkout-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var options = options
        if options.database == .memory {
            options.database = .sqlite(folder.appendingPathComponent("shop.db").path)
        }
        let visitor = TourRun(options: options, file: file, folder: folder)
        guard let ending = try await Lasting(options: options).open(for: visitor) else {
            print("The tour was left before its end, and what it had in hand with it.")
            return true
        }
        print(ending.text)
        return ending.audit.isClean
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
