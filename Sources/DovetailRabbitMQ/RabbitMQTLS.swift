// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    #if canImport(Darwin)
        import Darwin
    #elseif canImport(Musl)
        import Musl
    #else
        import Glibc
    #endif

    /// How to connect to an address that begins with `amqps://`.
    ///
    /// The server's certificate is always verified.
    ///
    /// ```swift
    /// let tls = RabbitMQTLS(authority: "/etc/shop/ca.pem")
    /// ```
    public struct RabbitMQTLS: Sendable, Hashable {
        /// The file with the authorities that may have signed the server's certificate; those of the system if `nil`.
        public var authority: String?

        /// The file with our own certificate, if the server asks for one.
        public var certificate: String?

        /// The file with the key of our own certificate.
        public var key: String?

        /// Whether the server's certificate must be for the host of the address.
        public var verifiesHost: Bool

        /// Whether our own certificate says who we are, instead of user and password (the mechanism `EXTERNAL`).
        public var isLogin: Bool

        /// Creates settings.
        ///
        /// - Parameters:
        ///   - authority: The file with the authorities that may have signed the server's certificate, in PEM; those of the system if
        ///     `nil`.
        ///   - certificate: The file with our own certificate, in PEM.
        ///   - key: The file with its key, in PEM.
        ///   - verifiesHost: Whether the server's certificate must be for the host of the address.
        ///   - isLogin: Whether our own certificate says who we are.
        public init(
            authority: String? = nil, certificate: String? = nil, key: String? = nil, verifiesHost: Bool = true,
            isLogin: Bool = false
        ) {
            self.authority = authority
            self.certificate = certificate
            self.key = key
            self.verifiesHost = verifiesHost
            self.isLogin = isLogin
        }

        /// Where systems keep the authorities that they trust; librabbitmq by itself knows none.
        static var systemAuthority: String? {
            [
                "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                "/etc/ssl/cert.pem",
            ].first { access($0, R_OK) == 0 }
        }
    }
#endif
