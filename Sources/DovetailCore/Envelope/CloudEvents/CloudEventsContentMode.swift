// SPDX-License-Identifier: Apache-2.0

/// How a message carries CloudEvents, told by its content type.
///
/// ```swift
/// switch CloudEventsContentMode(contentType: record.header("content-type")) {
/// case .structured: envelope = try CloudEventsJSONFormat().decode(record.value)
/// …
/// ```
///
/// See [HTTP binding, 3](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3-http-message-mapping);
/// the other bindings say the same.
public enum CloudEventsContentMode: Sendable, Hashable {
    /// The attributes are in headers and the payload is the data; also any message that is no CloudEvent.
    case binary

    /// One event in the JSON format.
    case structured

    /// Many events in the JSON batch format.
    case batch

    /// CloudEvents in a format that is not known here.
    case unknown

    /// Tells the mode of a message.
    ///
    /// - Parameter contentType: The content type of the message, with or without parameters; `nil` if it has none.
    public init(contentType: String?) {
        let essence = (contentType ?? "").prefix { $0 != ";" && $0 != " " && $0 != "\t" }.lowercased()
        switch essence {
        case CloudEventsJSONFormat.contentType: self = .structured
        case CloudEventsJSONFormat.batchContentType: self = .batch
        default: self = essence.hasPrefix("application/cloudevents") ? .unknown : .binary
        }
    }
}
