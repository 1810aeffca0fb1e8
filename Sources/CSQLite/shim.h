#ifndef DOVETAIL_CSQLITE_H
#define DOVETAIL_CSQLITE_H

#if !__has_include(<sqlite3.h>)
#error "The trait SQLite needs the headers of SQLite. Install them: 'apt-get install libsqlite3-dev', or 'brew install sqlite'."
#endif

#include <sqlite3.h>

#endif
