// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Foundation

extension Desk {
    func redrive() async throws -> Bool {
        if let id = options.cancel { return try report(try await letters.cancelRedrive(id), isOver: true) }
        if let id = options.resume { return try await work(on: try await letters.resumeRedrive(id)) }
        let request = options.request(at: Runtime.current.time.now())
        if options.dryRun { return try await plan(request) }
        return try await work(on: try await letters.redrive(request))
    }

    private func plan(_ request: RedriveRequest) async throws -> Bool {
        let plan = try await letters.plan(request)
        if options.json {
            try write(
                PlanLine(
                    total: plan.total, seconds: plan.duration?.inSeconds, examples: plan.examples.map(\.id),
                    conflicts: plan.conflicts.map(\.id)))
            return true
        }
        print("\(plan.total.grouped) letters would be sent, to \(options.bus). Nothing was sent.")
        if let duration = plan.duration {
            print("At this rate it takes \(Int(duration.inSeconds.rounded(.up)).grouped) seconds.")
        }
        var table = TextTable(("LETTER", 36), ("MESSAGE", 36), ("TYPE", 28), ("TOPIC", 28))
        for letter in plan.examples {
            let message = letter.envelope?.attributes
            table.add(
                letter.id, message?.id.rawValue ?? "(none: would be passed over)", message?.type.rawValue ?? "",
                letter.topic.rawValue)
        }
        if !plan.examples.isEmpty { print("\n" + table.text) }
        for job in plan.conflicts { print("\nIt would be refused while the redrive \(job.id) is \(job.state).") }
        return true
    }

    private func work(on job: RedriveJob) async throws -> Bool {
        let isShown = isatty(2) == 1 && !options.json
        if !options.json { print("Redrive \(job.id): \(job.total.grouped) letters.") }
        let redriver = Redriver(letters, to: bus).looking(lease: options.lease)
        while true {
            do {
                let done = try await redriver.run(job.id) { job in
                    guard isShown else { return }
                    let line = "\r\(job.state): \(job.redriven.grouped) of \(job.total.grouped) sent "
                    FileHandle.standardError.write(Data(line.utf8))
                }
                if isShown { FileHandle.standardError.write(Data("\n".utf8)) }
                return try report(done, isOver: false)
            } catch let error as DeadLetterError where error.code == .redriveClaimed && options.resume != nil {
                // The process that was killed had it until its lease ends.
                try await Runtime.current.time.sleep(for: .milliseconds(200))
            }
        }
    }

    func jobs() async throws {
        let jobs = try await letters.redriveJobs()
        if options.json { return try write(JobPage(jobs: jobs.map { JobLine($0) })) }
        guard !jobs.isEmpty else { return print("No redrives.") }
        var table = TextTable(
            ("REDRIVE", 36), ("ASKED FOR", 20), ("STATE", 10), ("SENT", 10), ("OF", 10), ("STAY", 8), ("NOTE", 30),
            ("PROBLEM", 60))
        for job in jobs {
            table.add(
                job.id, job.time.short, job.state.rawValue, job.redriven.grouped, job.total.grouped,
                job.passedOver.grouped, job.request.note, job.problem)
        }
        print(table.text)
    }

    private func report(_ job: RedriveJob, isOver: Bool) throws -> Bool {
        if options.json {
            try write(JobLine(job))
        } else {
            let stay = job.passedOver > 0 ? ", \(job.passedOver.grouped) passed over" : ""
            print("\(job.state): \(job.redriven.grouped) of \(job.total.grouped) sent\(stay).")
            if !job.problem.isEmpty { print(job.problem.plain) }
            if job.state == .stopped { print("To go on: DeadLetterDesk redrive --resume \(job.id)") }
        }
        return isOver || job.state == .completed
    }
}
