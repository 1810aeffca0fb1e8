// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailKafka

@Suite
struct SecurityOptionsTests {
    private static let scram = [
        "security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": "u",
        "sasl.password": "s3cret",
    ]

    private static func with(_ changes: [String: String?]) -> [String: String] {
        var options = scram
        for (name, value) in changes { options[name] = value }
        return options
    }

    /// Options that contradict each other, and the one that the error names.
    private static let contradictions: [(options: [String: String], named: String)] = [
        (with(["security.protocol": nil]), "sasl.mechanisms"),
        (with(["security.protocol": "ssl"]), "sasl.mechanisms"),
        (["security.protocol": "PLAINTEXT", "sasl.password": "s3cret"], "sasl.password"),
        (["enable.sasl.oauthbearer.unsecure.jwt": "true"], "enable.sasl.oauthbearer.unsecure.jwt"),
        (["ssl.ca.location": "/s3cret"], "ssl.ca.location"),
        (with(["security.protocol": "sasl_plaintext", "ssl.ca.pem": "s3cret"]), "ssl.ca.pem"),
        (["enable.ssl.certificate.verification": "true"], "enable.ssl.certificate.verification"),
        (with(["sasl.mechanisms": nil]), "sasl.password"),
        (with(["sasl.mechanism": "PLAIN"]), "sasl.mechanism"),
        (with(["sasl.password": nil]), "sasl.password"),
        (with(["sasl.password": "", "sasl.mechanisms": "plain"]), "sasl.password"),
        (with(["sasl.username": nil]), "sasl.username"),
        (with(["sasl.mechanisms": "GSSAPI"]), "sasl.password"),
        (with(["sasl.kerberos.keytab": "/s3cret"]), "sasl.kerberos.keytab"),
        (with(["sasl.oauthbearer.client.secret": "s3cret"]), "sasl.oauthbearer.client.secret"),
        (["security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER"], "sasl.oauthbearer.method"),
        (["security.protocol": "ssl", "ssl.certificate.location": "/s3cret"], "ssl.key.location"),
        (["security.protocol": "ssl", "ssl.key.pem": "s3cret"], "ssl.certificate.location"),
        (
            [
                "security.protocol": "ssl", "ssl.key.pem": "s3cret", "ssl.key.location": "/s3cret",
                "ssl.certificate.pem": "c",
            ], "ssl.key.location"
        ),
    ]

    @Test(
        "Options that contradict each other are an error that names one and shows no value", arguments: contradictions)
    func contradiction(options: [String: String], named: String) {
        let error = #expect(throws: TransportError.self) { try SecurityOptions(options).check() }
        #expect(error?.code == .refused)
        #expect(error?.message.contains("'\(named)'") == true, "\(String(describing: error))")
        #expect(error?.message.contains("s3cret") == false)
    }

    @Test(
        "Options that agree are taken",
        arguments: [
            [:], scram, with(["sasl.mechanism": "SCRAM-SHA-512"]), with(["ssl.ca.location": "/ca.pem"]),
            with(["security.protocol": "sasl_plaintext", "sasl.mechanisms": "plain"]), ["security.protocol": "ssl"],
            ["security.protocol": "ssl", "ssl.certificate.location": "/c", "ssl.key.pem": "k"],
            ["security.protocol": "sasl_ssl", "sasl.kerberos.service.name": "kafka"],
            ["security.protocol": "sasl_ssl", "sasl.mechanisms": "OAUTHBEARER", "sasl.oauthbearer.method": "OIDC"],
            [
                "security.protocol": "sasl_plaintext", "sasl.mechanisms": "OAUTHBEARER",
                "enable.sasl.oauthbearer.unsecure.jwt": "true",
            ],
        ])
    func agreement(options: [String: String]) throws {
        try SecurityOptions(options).check()
    }

    @Test("No text shows a secret, also one that is part of another")
    func redaction() {
        let options = SecurityOptions([
            "sasl.password": "abc", "ssl.key.password": "xabcx", "ssl.key.pem": "PEM", "sasl.username": "user",
            "sasl.oauthbearer.client.secret": "", "sasl.oauthbearer.config": "principal=p",
        ])
        #expect(
            options.redacted("user 'user' with xabcx, abc, PEM and principal=p") == "user 'user' with …, …, … and …")
    }
}
