// error: 'PostgresDatabase' is unavailable: Enable the trait PostgreSQL of the package 'dovetail'
// SPDX-License-Identifier: Apache-2.0

import DovetailPostgreSQL

func open() {
    // Built without the trait PostgreSQL, the module says how to get its types.
    _ = PostgresDatabase.self
}
