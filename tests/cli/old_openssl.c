/* Loaded before OpenSSL: pretends to be the last one of its series that handed out what it had not verified. */
unsigned OPENSSL_version_major(void);
unsigned OPENSSL_version_minor(void);
unsigned OPENSSL_version_patch(void);

unsigned OPENSSL_version_major(void)
{
	return 3;
}

unsigned OPENSSL_version_minor(void)
{
	return 0;
}

unsigned OPENSSL_version_patch(void)
{
	return 20;
}
