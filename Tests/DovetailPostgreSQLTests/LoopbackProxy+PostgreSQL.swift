// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Foundation
    import TestSupport

    extension LoopbackProxy {
        /// Finds a port in front of the server.
        convenience init() throws {
            try self.init(to: UInt16(URLComponents(string: Server.address ?? "")?.port ?? 5432))
        }

        /// The server by way of this.
        var address: String {
            var components = URLComponents(string: Server.address ?? "postgresql://127.0.0.1/none") ?? URLComponents()
            components.host = "127.0.0.1"
            components.port = Int(port)
            // In the clear, so that it is there at once or not at all.
            components.query = "sslmode=disable"
            return components.string ?? ""
        }
    }
#endif
