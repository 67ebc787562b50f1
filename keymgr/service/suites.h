/* What both sides of the key service negotiate in TLS 1.2 (RFC 5289): these, and nothing else. */
#ifndef COFFER_SERVICE_SUITES_H
#define COFFER_SERVICE_SUITES_H

/* AEAD first, since nothing in them is left to timing. */
#define TLS_SUITES_GCM                                                                                                 \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:"                     \
	"ECDHE-RSA-AES128-GCM-SHA256"
#define TLS_SUITES                                                                                                     \
	TLS_SUITES_GCM ":ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA256:"                 \
		       "ECDHE-RSA-AES128-SHA256"
#define TLS_GROUPS "X25519:P-256:P-384"
#define TLS_SIGNATURES                                                                                                 \
	"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:"                         \
	"RSA+SHA256:RSA+SHA384:RSA+SHA512"

#endif
