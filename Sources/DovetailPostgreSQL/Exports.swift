// SPDX-License-Identifier: Apache-2.0

// One import gives the database with its transactions, statements and settings.
@_exported public import DovetailSQL
