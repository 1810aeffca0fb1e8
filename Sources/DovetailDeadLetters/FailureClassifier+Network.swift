// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

extension FailureClassifier {
    /// The same classifier, which also knows failures of the network for what they are: transient, and under
    /// ``DeadLetterReason/timeoutOrNetwork`` if they last.
    ///
    /// It knows `URLError`, and of `POSIXError` what connections fail with. An address that is none is permanent.
    ///
    /// ```swift
    /// let payments = Consumer("payments", on: bus) { … }.classifying(by: FailureClassifier().knowingNetworkErrors())
    /// ```
    ///
    /// - Returns: The new classifier.
    public func knowingNetworkErrors() -> FailureClassifier {
        adding { error in
            switch error {
            case let error as URLError:
                let permanent: [URLError.Code] = [.badURL, .unsupportedURL]
                return permanent.contains(error.code) ? .permanent(.businessRule) : .transient(.timeoutOrNetwork)
            case let error as POSIXError:
                let network: [POSIXErrorCode] = [
                    .ECONNREFUSED, .ECONNRESET, .ECONNABORTED, .ETIMEDOUT, .EHOSTUNREACH, .ENETUNREACH, .ENETDOWN,
                    .EPIPE,
                    .EHOSTDOWN,
                ]
                return network.contains(error.code) ? .transient(.timeoutOrNetwork) : nil
            default: return nil
            }
        }
    }
}
