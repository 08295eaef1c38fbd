/*-------------------------------------------------------------------------
 *
 * assertion.c
 *		JSON Web Tokens by which a client proves that it has a key (RFC 7523).
 *
 *	--set public_key=FILE	PEM; without, no assertion is accepted
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "sim.h"

#define LONGEST_LIFE 3600		/* seconds between iat and exp */

static char last_jti[64];

/*
 * Append what base64url stands for; false if it is none.
 */
static bool
decode(SimBuf *buf, const char *text, size_t len)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned	bits = 0;
	int			n = 0;

	for (size_t i = 0; i < len; i++)
	{
		const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
		char		byte;

		if (digit == NULL)
			return false;
		bits = bits << 6 | (unsigned) (digit - digits);
		n += 6;
		if (n < 8)
			continue;
		byte = (char) (bits >> (n -= 8));
		sim_buf_add(buf, &byte, 1);
	}
	return true;
}

static json_t *
decode_object(const char *text, size_t len)
{
	SimBuf		buf = {0};
	json_t	   *object = decode(&buf, text, len) ?
	json_loadb(buf.data ? buf.data : "", buf.len, 0, NULL) : NULL;

	sim_buf_free(&buf);
	return object;
}

static bool
has_text(const json_t *object, const char *name, const char *value)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text && strcmp(text, value) == 0;
}

/*
 * Is the signature that of the key?
 */
static bool
verify(const char *signed_text, size_t len, const char *signature)
{
	const char *path = sim_setting("public_key");
	FILE	   *file = path ? fopen(path, "r") : NULL;
	EVP_PKEY   *key = file ? PEM_read_PUBKEY(file, NULL, NULL, NULL) : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	SimBuf		bytes = {0};
	bool		good = key && decode(&bytes, signature, strlen(signature)) &&
	EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	EVP_DigestVerify(ctx, (unsigned char *) bytes.data, bytes.len,
					 (const unsigned char *) signed_text, len) == 1;

	sim_buf_free(&bytes);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	if (file)
		fclose(file);
	return good;
}

/*
 * The claims of an assertion that is signed with the key and lives no longer than it
 * may; key_id is what it has to name the key by, NULL: anything.  The caller owns
 * them; NULL if it is none.
 */
json_t *
sim_assertion_claims(const char *jwt, const char *key_id)
{
	const char *second = strchr(jwt, '.');
	const char *signature = second ? strchr(second + 1, '.') : NULL;
	json_t	   *header = signature ? decode_object(jwt, (size_t) (second - jwt)) : NULL;
	json_t	   *claims = signature ? decode_object(second + 1, (size_t) (signature - second - 1)) : NULL;
	json_int_t	iat = json_integer_value(json_object_get(claims, "iat"));
	json_int_t	exp = json_integer_value(json_object_get(claims, "exp"));
	bool		good = iat > 0 && exp > iat && exp - iat <= LONGEST_LIFE &&
	has_text(header, "alg", "RS256") && (key_id == NULL || has_text(header, "kid", key_id)) &&
	verify(jwt, (size_t) (signature - jwt), signature + 1);

	json_decref(header);
	if (good)
		return claims;
	json_decref(claims);
	return NULL;
}

/*
 * Is it an assertion of this client, signed, for the token endpoint at this
 * path, and none that was used before?
 */
bool
sim_assertion_good(const char *jwt, const char *client, const char *path)
{
	json_t	   *claims = sim_assertion_claims(jwt, NULL);
	const char *aud = json_string_value(json_object_get(claims, "aud"));
	const char *jti = json_string_value(json_object_get(claims, "jti"));
	size_t		len = aud ? strlen(aud) : 0;
	bool		good = has_text(claims, "iss", client) && has_text(claims, "sub", client) &&
	len >= strlen(path) && strcmp(aud + len - strlen(path), path) == 0 &&
	jti && strlen(jti) < sizeof(last_jti) && strcmp(jti, last_jti) != 0;

	if (good)
		memcpy(last_jti, jti, strlen(jti) + 1);
	json_decref(claims);
	return good;
}
