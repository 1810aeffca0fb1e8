#ifndef DOVETAIL_CKAFKA_H
#define DOVETAIL_CKAFKA_H

#if !__has_include(<librdkafka/rdkafka.h>)
#error "The trait Kafka needs the headers of librdkafka. Install them: 'apt-get install librdkafka-dev', or 'brew install librdkafka'."
#endif

#include <librdkafka/rdkafka.h>
// A broker within the process that can be told to fail; the tests use it.
#include <librdkafka/rdkafka_mock.h>

#endif
