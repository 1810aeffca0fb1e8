// error: 'SQLiteDatabase' is unavailable: Enable the trait SQLite of the package 'dovetail'
// SPDX-License-Identifier: Apache-2.0

import DovetailSQLite

func open() {
    // Built without the trait SQLite, the module says how to get its types.
    _ = SQLiteDatabase.self
}
