// SPDX-License-Identifier: Apache-2.0

extension Duration {
    /// Hours and minutes.
    var timeOfDay: String {
        let minutes = components.seconds / 60
        return "\(minutes / 60):\(minutes % 60 < 10 ? "0" : "")\(minutes % 60)"
    }
}
