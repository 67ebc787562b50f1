/* How coffer talks to coffer-service-client, the program that alone speaks TLS to the key service (docs/api.md).
 *
 *   coffer-service-client talk
 *
 * Standard input and output carry frames: a length of 4 bytes, little-endian, and so many bytes.  First come four frames, the setup: the addresses of
 * the service, one a line; the paths of its authority's certificate, of the client's certificate and of the client's private key.  Then pairs of frames,
 * a request, each answered by a pair before the next one is read, until the input ends:
 *
 *   GET PATH                        what the API answers
 *   POST PATH        JSON           the same; sent to one server only, once
 *   ASK PATH         JSON           a POST that may be sent twice, as nothing is changed by it or the same again
 *   ABOUT                           about the client's certificate
 *   MAKE NAME                       makes the client's private key (mode 0600), where there is none, and a certificate by which it vouches for itself
 *   STORE            PEM            puts that certificate in the place of the client's, if it is for the same key
 *
 *   answered STATUS URL     BODY    by a service that has proved to be one, and has asked for our certificate
 *   unreachable WHY                 anything else that is between us and such an answer
 *   unusable WHY                    a file or an address does not do
 *   done TEXT                       of ABOUT: "FINGERPRINT NOT-AFTER issued" (or "self-signed"); of MAKE: "made" or "kept" */
#ifndef COFFER_KEYMGR_SERVICE_PROTOCOL_H
#define COFFER_KEYMGR_SERVICE_PROTOCOL_H

#define SERVICE_HELPER "coffer-service-client"

enum {
	SERVICE_LINE_MAX = 700,
	SERVICE_REQUEST_MAX = 64 << 10,
	SERVICE_ANSWER_MAX = 4 << 20,
	SERVICE_URLS_MAX = 8,
	SERVICE_PATH_MAX = 4096,
	SERVICE_PORT = 8443,
	/* For one server: name, connection, handshake; then the answer. */
	SERVICE_CONNECT_S = 5,
	SERVICE_ANSWER_S = 8,
};

#endif
