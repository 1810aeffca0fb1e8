// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import CPostgreSQL
    import DovetailCore

    /// Where a server is, with what must not be shown taken out of it.
    struct PostgresAddress: Sendable {
        /// As it was given, secrets and all.
        let text: String

        /// What to call it in messages: `host:port/name`.
        let shown: String

        let secrets: [String]

        /// - Throws: `DatabaseError` with `cannotOpen` if it is none.
        init(_ text: String) throws {
            var complaint: UnsafeMutablePointer<CChar>?
            // What libpq says about it may repeat it, and with it the password.
            guard let options = PQconninfoParse(text, &complaint) else {
                PQfreemem(complaint)
                throw DatabaseError(
                    .cannotOpen,
                    "The address of the PostgreSQL server cannot be read. Give it as postgresql://user:password@host:port/name, "
                        + "with characters such as '@', ':', '/' and '%' in a name or password written as %40, %3A, %2F and %25."
                )
            }
            defer { PQconninfoFree(options) }
            var given: [String: String] = [:]
            var option = options
            while let keyword = option.pointee.keyword {
                if let value = option.pointee.val { given[String(cString: keyword)] = String(cString: value) }
                option += 1
            }
            self.text = text
            let host = given["host"] ?? given["hostaddr"] ?? "localhost"
            shown = "\(host):\(given["port"] ?? "5432")/\(given["dbname"] ?? given["user"] ?? "")"
            secrets = ["password", "sslpassword"].compactMap { given[$0] }.filter { !$0.isEmpty }
        }

        /// Takes out of a text what must not be shown.
        func redact(_ message: String) -> String {
            secrets.reduce(message.replacing(text, with: shown)) { $0.replacing($1, with: "…") }
        }
    }
#endif
