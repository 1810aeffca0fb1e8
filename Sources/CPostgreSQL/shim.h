#ifndef DOVETAIL_CPOSTGRESQL_H
#define DOVETAIL_CPOSTGRESQL_H

// Debian keeps the header in a folder of its own, which is named here so that no flag has to be given.
#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#elif __has_include(<libpq-fe.h>)
#include <libpq-fe.h>
#elif __has_include("/opt/homebrew/opt/libpq/include/libpq-fe.h")
#include "/opt/homebrew/opt/libpq/include/libpq-fe.h"
#else
#error "The trait PostgreSQL needs the headers of libpq. Install them: 'apt-get install libpq-dev', or 'brew install libpq'."
#endif

#ifndef LIBPQ_HAS_PIPELINING
#error "The trait PostgreSQL needs libpq 14 or later, for pipelines."
#endif

#endif
