/*-------------------------------------------------------------------------
 *
 * jwt_test.c
 *	  Unit tests of the tokens that a client proves itself with.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "jwt.h"

#define CLAIMS "{\"iss\":\"client\",\"jti\":\"\xC3\xB6?>~\"}"

static char pem[16384];
static char token[4096];

/* Write a key as PEM, with a passphrase if there is one. */
static void
write_pem(EVP_PKEY * key, const char *passphrase)
{
	BIO		   *bio = BIO_new(BIO_s_mem());
	int			len;

	PEM_write_bio_PrivateKey(bio, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL,
							 NULL, 0, NULL, (void *) passphrase);
	len = BIO_read(bio, pem, sizeof(pem) - 1);
	pem[len > 0 ? len : 0] = '\0';
	BIO_free(bio);
}

/* Decode base64url up to a dot or the end; returns the bytes. */
static size_t
decode(const char *text, unsigned char *bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned	bits = 0;
	int			n = 0;
	size_t		len = 0;

	for (; *text != '\0' && *text != '.'; text++)
	{
		bits = bits << 6 | (unsigned) (strchr(digits, *text) - digits);
		n += 6;
		if (n >= 8)
			bytes[len++] = (unsigned char) (bits >> (n -= 8));
	}
	return len;
}

/* Whether the token has this header, the claims and a signature of the key. */
static bool
is_signed(EVP_PKEY * key, const char *header)
{
	unsigned char bytes[4096];
	const char *claims = strchr(token, '.');
	const char *signature = claims == NULL ? NULL : strchr(claims + 1, '.');
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t		len;
	bool		good;

	if (signature == NULL || strchr(signature + 1, '.') != NULL)
		return false;
	len = decode(token, bytes);
	good = len == strlen(header) && memcmp(bytes, header, len) == 0;
	len = decode(claims + 1, bytes);
	good = good && len == strlen(CLAIMS) && memcmp(bytes, CLAIMS, len) == 0;
	len = decode(signature + 1, bytes);
	good = good && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestVerify(ctx, bytes, len, (unsigned char *) token, (size_t) (signature - token)) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}

static void
test_signing(EVP_PKEY * key)
{
	size_t		len;
	int			fits = 0;

	write_pem(key, NULL);
	ok(nauth_jwt_is_key(pem), "an RSA key");
	ok(nauth_jwt_sign(pem, NULL, CLAIMS, token, sizeof(token)), "signs");
	ok(is_signed(key, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}"), "what anybody can verify");
	ok(nauth_jwt_sign(pem, "key-1", CLAIMS, token, sizeof(token)), "signs with the id of the key");
	ok(is_signed(key, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"key-1\"}"), "which is in the header");
	len = strlen(token);
	for (size_t size = 1; size <= len; size++)
		fits += nauth_jwt_sign(pem, "key-1", CLAIMS, token, size);
	is_int(fits, 0, "no token is cut off");
	ok(nauth_jwt_sign(pem, "key-1", CLAIMS, token, len + 1), "one that just fits is whole");
}

static void
test_keys(EVP_PKEY * key)
{
	EVP_PKEY   *small = EVP_RSA_gen(1024);
	EVP_PKEY   *curve = EVP_EC_gen("P-256");
	char		id[300];

	write_pem(key, "passphrase");
	ok(!nauth_jwt_is_key(pem) && !nauth_jwt_sign(pem, NULL, CLAIMS, token, sizeof(token)),
	   "a key with a passphrase is not asked for it");
	write_pem(small, NULL);
	ok(!nauth_jwt_is_key(pem), "too short a key");
	write_pem(curve, NULL);
	ok(!nauth_jwt_is_key(pem), "another kind of key");
	write_pem(key, NULL);
	pem[strlen(pem) / 2] = '\0';
	ok(!nauth_jwt_is_key(pem), "a key that is cut off");
	ok(!nauth_jwt_is_key("") && !nauth_jwt_is_key("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"),
	   "no key");
	write_pem(key, NULL);
	memset(id, 'x', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	ok(!nauth_jwt_sign(pem, id, CLAIMS, token, sizeof(token)), "too long an id of the key");
	EVP_PKEY_free(small);
	EVP_PKEY_free(curve);
}

int
main(void)
{
	EVP_PKEY   *key = EVP_RSA_gen(2048);

	test_signing(key);
	test_keys(key);
	EVP_PKEY_free(key);
	return done_testing();
}
