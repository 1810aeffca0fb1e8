// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A terminal in a mode in which each key counts at once, and a page is drawn over the last one.
///
/// Without a terminal on both sides there are no keys, and no page.
struct Terminal: ~Copyable {
    let isInteractive: Bool
    private var before = termios()

    init() {
        isInteractive = isatty(0) == 1 && isatty(1) == 1
        guard isInteractive, tcgetattr(0, &before) == 0 else { return }
        var raw = before
        // Keys one by one, unseen, without waiting; Ctrl-C goes on to mean what it means.
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO)
        withUnsafeMutableBytes(of: &raw.c_cc) { characters in
            characters[Int(VMIN)] = 0
            characters[Int(VTIME)] = 0
        }
        tcsetattr(0, TCSANOW, &raw)
        write("\u{1B}[?25l\u{1B}[2J")
    }

    deinit {
        guard isInteractive else { return }
        var before = before
        tcsetattr(0, TCSANOW, &before)
        write("\u{1B}[?25h")
    }

    /// The keys that were pressed since the last call.
    func keys() -> [Character] {
        guard isInteractive else { return [] }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(0, &bytes, bytes.count)
        return count > 0 ? Array(String(decoding: bytes.prefix(count), as: UTF8.self)) : []
    }

    /// Draws a page over the last one.
    func draw(_ lines: [String]) {
        write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K\r\n" }.joined() + "\u{1B}[J")
    }
}

private func write(_ text: String) {
    FileHandle.standardOutput.write(Data(text.utf8))
}
