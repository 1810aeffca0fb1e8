// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Posts JSON to one address, and tries again where that can help.
struct HTTPPost: Sendable {
    private let url: URL
    private let headers: [String: String]
    private let retry: any RetryPolicy
    private let timeout: Duration

    init(_ address: String, headers: [String: String], retry: any RetryPolicy, timeout: Duration) throws {
        guard let url = URL(string: address), let scheme = url.scheme?.lowercased(),
            ["http", "https"].contains(scheme),
            url.host()?.isEmpty == false
        else {
            throw DeadLetterError(
                .invalidRequest, "'\(address)' is no address to post to. Give one with https:// and a host.")
        }
        self.url = url
        self.headers = headers
        self.retry = retry
        self.timeout = timeout
    }

    /// An answer other than success, or none.
    private struct Refusal: Error, CustomStringConvertible {
        let description: String
        let mayHelp: Bool
        var after: Duration?
    }

    func send(_ body: Bytes, headers more: [String: String] = [:]) async throws {
        let runtime = Runtime.current
        var attempt = 1
        while true {
            do {
                return try await attemptOnce(body, more)
            } catch let refusal as Refusal {
                guard refusal.mayHelp, attempt < retry.attempts else {
                    // Not the whole address: a webhook's is often a secret.
                    throw DeadLetterError(
                        .alertNotSent,
                        "'\(url.host() ?? "")' did not take the alert after \(attempt) attempts: \(refusal). "
                            + (refusal.mayHelp
                                ? "It is sent again with the next look." : "Check the address and the key."))
                }
                let delay = max(refusal.after ?? .zero, retry.delay(after: attempt, random: runtime.random))
                try await runtime.time.sleep(for: delay)
                attempt += 1
            }
        }
    }

    private func attemptOnce(_ body: Bytes, _ more: [String: String]) async throws {
        var request = URLRequest(url: url, timeoutInterval: timeout.inSeconds)
        request.httpMethod = "POST"
        request.httpBody = Data(body)
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        for (name, value) in headers.merging(more, uniquingKeysWith: { own, _ in own }) {
            request.setValue(value, forHTTPHeaderField: name)
        }
        let response: URLResponse
        do {
            (_, response) = try await URLSession.shared.data(for: request)
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw Refusal(description: "no answer (\(error.localizedDescription))", mayHelp: true)
        }
        guard let answer = response as? HTTPURLResponse else {
            throw Refusal(description: "an answer that is none", mayHelp: false)
        }
        if (200..<300).contains(answer.statusCode) { return }
        let mayHelp = answer.statusCode >= 500 || [408, 429].contains(answer.statusCode)
        let after = answer.value(forHTTPHeaderField: "Retry-After").flatMap { Int64($0) }
        throw Refusal(
            description: "the answer \(answer.statusCode)", mayHelp: mayHelp,
            // No longer than is worth waiting for within one look.
            after: after.map { .seconds(min(max(0, $0), 60)) })
    }
}
