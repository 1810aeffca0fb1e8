// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The options of librdkafka that say who we are and how to encrypt.
///
/// librdkafka takes options that contradict each other and then leaves some out of account: a password without a protocol that
/// asks for one is never sent, and a certificate without TLS is never shown. Whoever set them believes otherwise, so each
/// contradiction is an error. No error shows a value.
struct SecurityOptions: Sendable {
    private let options: [String: String]

    init(_ options: [String: String]) {
        self.options = options
    }

    // MARK: Contradictions

    /// - Throws: ``TransportError`` with the code `refused`, naming the options and what to do.
    func check() throws(TransportError) {
        let `protocol` = (options["security.protocol"] ?? "plaintext").lowercased()
        if !`protocol`.hasPrefix("sasl_"), let name = first(where: Self.isOfSASL) {
            throw Self.contradiction(
                "The option '\(name)' is about SASL, but 'security.protocol' asks for none, so that it would be left out of account. "
                    + "Set 'security.protocol' to 'sasl_ssl', or leave '\(name)' out.")
        }
        if !`protocol`.hasSuffix("ssl"), let name = first(where: Self.isOfTLS) {
            throw Self.contradiction(
                "The option '\(name)' is about TLS, but 'security.protocol' asks for none, so that nothing would be encrypted. "
                    + "Set 'security.protocol' to 'ssl' or 'sasl_ssl', or leave '\(name)' out.")
        }
        if `protocol`.hasPrefix("sasl_") { try checkMechanism() }
        try checkPair("ssl.certificate", "ssl.key")
    }

    private func checkMechanism() throws(TransportError) {
        let names = ["sasl.mechanism", "sasl.mechanisms"].filter { options[$0] != nil }
        if names.count == 2, options[names[0]] != options[names[1]] {
            throw Self.contradiction(
                "The options 'sasl.mechanism' and 'sasl.mechanisms' are two names for one, and differ. Leave one out.")
        }
        let credentials = ["sasl.username", "sasl.password"]
        guard let mechanism = names.first.flatMap({ options[$0] })?.uppercased() else {
            guard let name = first(where: { credentials.contains($0) }) else { return }
            throw Self.contradiction(
                "The option '\(name)' needs 'sasl.mechanisms': without it librdkafka takes GSSAPI, which knows no passwords. "
                    + "Set it to the one that the brokers take, such as 'SCRAM-SHA-512'.")
        }
        if mechanism == "PLAIN" || mechanism.hasPrefix("SCRAM-") {
            for name in credentials where options[name, default: ""].isEmpty {
                throw Self.contradiction(
                    "The mechanism '\(mechanism)' needs the option '\(name)', which is not set. Set it, or choose another "
                        + "'sasl.mechanisms'.")
            }
        } else if let name = first(where: { credentials.contains($0) }) {
            throw Self.contradiction(
                "The option '\(name)' is left out of account by the mechanism of 'sasl.mechanisms'. Leave it out, or choose "
                    + "'PLAIN' or one of SCRAM.")
        }
        for (prefix, owner) in [("sasl.kerberos.", "GSSAPI"), ("sasl.oauthbearer.", "OAUTHBEARER")]
        where mechanism != owner {
            guard let name = first(where: { $0.hasPrefix(prefix) }) else { continue }
            throw Self.contradiction(
                "The option '\(name)' is about the mechanism '\(owner)', but 'sasl.mechanisms' is another one. Correct one of them."
            )
        }
        if mechanism == "OAUTHBEARER", options["sasl.oauthbearer.method"]?.lowercased() != "oidc",
            options["enable.sasl.oauthbearer.unsecure.jwt"]?.lowercased() != "true"
        {
            throw Self.contradiction(
                "The mechanism 'OAUTHBEARER' has nobody to hand out tokens. Set 'sasl.oauthbearer.method' to 'oidc', with its "
                    + "address and client.")
        }
    }

    /// Of a certificate and its key there is either none or both, each in one form.
    private func checkPair(_ certificate: String, _ key: String) throws(TransportError) {
        for part in [certificate, key] where options["\(part).location"] != nil && options["\(part).pem"] != nil {
            throw Self.contradiction(
                "The options '\(part).location' and '\(part).pem' are two ways to say one thing. Leave one out.")
        }
        let given = [certificate, key].map { part in ["\(part).location", "\(part).pem"].first { options[$0] != nil } }
        if let name = given.compactMap(\.self).first, given.contains(nil) {
            let missing = given[0] == nil ? certificate : key
            throw Self.contradiction(
                "The option '\(name)' is of no use without '\(missing).location' or '\(missing).pem'. Set one of them too."
            )
        }
    }

    private func first(where isMeant: (String) -> Bool) -> String? { options.keys.filter(isMeant).min() }

    private static func isOfSASL(_ name: String) -> Bool {
        name.hasPrefix("sasl.") || name == "enable.sasl.oauthbearer.unsecure.jwt"
    }

    private static func isOfTLS(_ name: String) -> Bool {
        name.hasPrefix("ssl.") || name == "enable.ssl.certificate.verification"
    }

    private static func contradiction(_ text: String) -> TransportError { TransportError(.refused, text) }

    // MARK: Secrets

    /// A text of librdkafka without the values of secret options, which it may quote.
    func redacted(_ text: String) -> String {
        // The longest first: one secret may be part of another.
        secrets.reduce(text) { $0.replacing($1, with: "…") }
    }

    private var secrets: [String] {
        options.filter { Self.isSecret($0.key) && !$0.value.isEmpty }.map(\.value)
            .sorted { ($1.utf8.count, $0) < ($0.utf8.count, $1) }
    }

    private static func isSecret(_ name: String) -> Bool {
        name.contains("password") || name.hasSuffix(".secret") || name == "ssl.key.pem"
            || name == "sasl.oauthbearer.config"
    }
}
