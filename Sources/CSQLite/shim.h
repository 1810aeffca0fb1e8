#ifndef DOVETAIL_CSQLITE_H
#define DOVETAIL_CSQLITE_H

#if !__has_include(<sqlite3.h>)
#error "The trait SQLite needs the headers of SQLite. Install them: 'apt-get install libsqlite3-dev', or 'brew install sqlite'."
#endif

#include <sqlite3.h>

#if SQLITE_VERSION_NUMBER < 3035000
#error "The trait SQLite needs SQLite 3.35 or later, for RETURNING."
#endif

// What Swift cannot see: macros that are casts.

/// Another connection has written since this one began to read.
static const int dovetail_sqlite3_busy_snapshot = SQLITE_BUSY_SNAPSHOT;

/// Binds text; SQLite takes a copy.
static inline int dovetail_sqlite3_bind_text(sqlite3_stmt *statement, int index, const char *text, sqlite3_uint64 length) {
    return sqlite3_bind_text64(statement, index, text, length, SQLITE_TRANSIENT, SQLITE_UTF8);
}

/// Binds bytes; SQLite takes a copy.
static inline int dovetail_sqlite3_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, sqlite3_uint64 length) {
    return sqlite3_bind_blob64(statement, index, bytes, length, SQLITE_TRANSIENT);
}

#endif
