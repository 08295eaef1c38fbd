/*-------------------------------------------------------------------------
 *
 * jwt.c
 *	  JSON Web Tokens that a client proves itself with: signed with RS256.
 *
 * A key is parsed, used and freed before the return, so that no error of
 * PostgreSQL can leak it, and none of OpenSSL's stays in its queue.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "jwt.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Bits of a key: less can be broken, more takes long. */
#define KEY_BITS_MIN	2048
#define KEY_BITS_MAX	8192

#define HEADER_MAX		256

/*
 * A block of PEM as what PKCS #8 has for an RSA key, to be freed, or NULL.  Of
 * other keys nothing is worked out: for a large one of DSA that takes minutes.
 */
static PKCS8_PRIV_KEY_INFO *
read_info(const char *name, unsigned char *der, long len)
{
	const unsigned char *p = der;
	const		ASN1_OBJECT *algorithm = NULL;
	unsigned char *copy;
	PKCS8_PRIV_KEY_INFO *info;

	if (strcmp(name, PEM_STRING_PKCS8INF) == 0)
		info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, len);
	else if (strcmp(name, PEM_STRING_RSA) == 0 && (info = PKCS8_PRIV_KEY_INFO_new()) != NULL)
	{
		copy = OPENSSL_memdup(der, (size_t) len);
		if (copy == NULL ||
			!PKCS8_pkey_set0(info, OBJ_nid2obj(NID_rsaEncryption), 0, V_ASN1_NULL, NULL, copy, (int) len))
			OPENSSL_clear_free(copy, (size_t) len);
	}
	else
		return NULL;
	if (info != NULL && PKCS8_pkey_get0(&algorithm, NULL, NULL, NULL, info) &&
		OBJ_obj2nid(algorithm) == NID_rsaEncryption)
		return info;
	PKCS8_PRIV_KEY_INFO_free(info);
	return NULL;
}

/*
 * Whether a key can be used.  Its parts are as long as its modulus makes them: a
 * signature with longer ones takes minutes, too, and no cancel ends it.
 */
static bool
is_usable(const EVP_PKEY * key)
{
	int			bits = EVP_PKEY_bits(key);

	return EVP_PKEY_base_id(key) == EVP_PKEY_RSA && bits >= KEY_BITS_MIN && bits <= KEY_BITS_MAX &&
		i2d_PrivateKey(key, NULL) <= bits / 8 * 9 / 2 + 128;
}

/* The first key of the text that is not encrypted, to be freed, or NULL. */
static EVP_PKEY *
read_key(const char *pem)
{
	BIO		   *bio = BIO_new_mem_buf(pem, (int) strnlen(pem, INT32_MAX));
	EVP_PKEY   *key = NULL;
	char	   *name;
	char	   *header;
	unsigned char *der;
	long		len;

	while (bio != NULL && key == NULL && PEM_read_bio(bio, &name, &header, &der, &len) == 1)
	{
		PKCS8_PRIV_KEY_INFO *info = header[0] == '\0' ? read_info(name, der, len) : NULL;

		key = info == NULL ? NULL : EVP_PKCS82PKEY(info);
		PKCS8_PRIV_KEY_INFO_free(info);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t) len);
	}
	BIO_free(bio);
	if (key != NULL && !is_usable(key))
	{
		EVP_PKEY_free(key);
		key = NULL;
	}
	ERR_clear_error();
	return key;
}

bool
nauth_jwt_is_key(const char *pem)
{
	EVP_PKEY   *key = read_key(pem);

	EVP_PKEY_free(key);
	return key != NULL;
}

/* Append bytes as base64url without padding; false if they do not fit. */
static bool
append_base64(char *text, size_t size, const unsigned char *bytes, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t		used = strlen(text);

	if ((len * 4 + 2) / 3 >= size - used)
		return false;
	for (size_t i = 0; i < len; i += 3)
	{
		size_t		left = len - i;
		uint32_t	bits = (uint32_t) bytes[i] << 16 |
		(left > 1 ? (uint32_t) bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);

		for (size_t k = 0; k < (left > 2 ? 4 : left + 1); k++)
			text[used++] = digits[bits >> (18 - 6 * k) & 63];
	}
	text[used] = '\0';
	return true;
}

static bool
append_text(char *text, size_t size, const char *more)
{
	return append_base64(text, size, (const unsigned char *) more, strlen(more));
}

static bool
append_dot(char *text, size_t size)
{
	size_t		used = strlen(text);

	if (used + 1 >= size)
		return false;
	memcpy(text + used, ".", 2);
	return true;
}

/* Append the signature of what is there. */
static bool
append_signature(EVP_PKEY * key, char *text, size_t size)
{
	unsigned char signature[KEY_BITS_MAX / 8];
	size_t		len = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool		signed_now = ctx != NULL &&
	EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	EVP_DigestSign(ctx, signature, &len, (const unsigned char *) text, strlen(text)) == 1;

	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return signed_now && append_dot(text, size) && append_base64(text, size, signature, len);
}

bool
nauth_jwt_sign(const char *pem, const char *key_id, const char *claims, char *token, size_t size)
{
	char		header[HEADER_MAX];
	int			len = snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"typ\":\"JWT\"%s%s%s}",
							   key_id != NULL ? ",\"kid\":\"" : "", key_id != NULL ? key_id : "",
							   key_id != NULL ? "\"" : "");
	EVP_PKEY   *key;
	bool		done;

	token[0] = '\0';
	if (len >= (int) sizeof(header))
		return false;
	key = read_key(pem);
	done = key != NULL && append_text(token, size, header) && append_dot(token, size) &&
		append_text(token, size, claims) && append_signature(key, token, size);
	EVP_PKEY_free(key);
	return done;
}
