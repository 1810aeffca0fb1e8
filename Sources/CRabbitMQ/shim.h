#ifndef DOVETAIL_CRABBITMQ_H
#define DOVETAIL_CRABBITMQ_H

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/tcp_socket.h>
#if __has_include(<rabbitmq-c/ssl_socket.h>)
#include <rabbitmq-c/ssl_socket.h>
#define DOVETAIL_AMQP_SSL 1
#endif
#elif __has_include(<amqp.h>)
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#if __has_include(<amqp_ssl_socket.h>)
#include <amqp_ssl_socket.h>
#define DOVETAIL_AMQP_SSL 1
#endif
#else
#error "The trait RabbitMQ needs the headers of librabbitmq. Install them: 'apt-get install librabbitmq-dev', or 'brew install rabbitmq-c'."
#endif

// What Swift cannot see: macros that are casts, functions with any number of arguments, and what the library may lack.

static const amqp_method_number_t dovetail_amqp_connection_close = AMQP_CONNECTION_CLOSE_METHOD;
static const amqp_method_number_t dovetail_amqp_channel_close = AMQP_CHANNEL_CLOSE_METHOD;
static const amqp_method_number_t dovetail_amqp_channel_close_ok = AMQP_CHANNEL_CLOSE_OK_METHOD;
static const amqp_method_number_t dovetail_amqp_basic_ack = AMQP_BASIC_ACK_METHOD;
static const amqp_method_number_t dovetail_amqp_basic_nack = AMQP_BASIC_NACK_METHOD;
static const amqp_method_number_t dovetail_amqp_basic_return = AMQP_BASIC_RETURN_METHOD;
static const amqp_method_number_t dovetail_amqp_basic_deliver = AMQP_BASIC_DELIVER_METHOD;
static const amqp_method_number_t dovetail_amqp_basic_cancel = AMQP_BASIC_CANCEL_METHOD;

/// Logs in by name and password.
static inline amqp_rpc_reply_t dovetail_amqp_login(
    amqp_connection_state_t state, const char *vhost, int heartbeat, const amqp_table_t *properties, const char *user,
    const char *password) {
    return amqp_login_with_properties(
        state, vhost, AMQP_DEFAULT_MAX_CHANNELS, AMQP_DEFAULT_FRAME_SIZE, heartbeat, properties, AMQP_SASL_METHOD_PLAIN,
        user, password);
}

/// Logs in by the certificate that the connection was made with.
static inline amqp_rpc_reply_t dovetail_amqp_login_external(
    amqp_connection_state_t state, const char *vhost, int heartbeat, const amqp_table_t *properties,
    const char *identity) {
    return amqp_login_with_properties(
        state, vhost, AMQP_DEFAULT_MAX_CHANNELS, AMQP_DEFAULT_FRAME_SIZE, heartbeat, properties,
        AMQP_SASL_METHOD_EXTERNAL, identity);
}

/// A socket with TLS; none if the library was built without.
///
/// The files may be null: the authority that signed the server's certificate, and the certificate and key of our own.
static inline amqp_socket_t *dovetail_amqp_tls_socket(
    amqp_connection_state_t state, const char *authority, const char *certificate, const char *key, int verifies_host,
    int *status) {
#ifdef DOVETAIL_AMQP_SSL
    amqp_socket_t *socket = amqp_ssl_socket_new(state);
    if (!socket) return 0;
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, verifies_host);
    *status = amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST);
    if (*status == AMQP_STATUS_OK && authority) *status = amqp_ssl_socket_set_cacert(socket, authority);
    if (*status == AMQP_STATUS_OK && certificate && key) *status = amqp_ssl_socket_set_key(socket, certificate, key);
    return socket;
#else
    *status = AMQP_STATUS_UNSUPPORTED;
    return 0;
#endif
}

#endif
