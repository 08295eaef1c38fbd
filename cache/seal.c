/*-------------------------------------------------------------------------
 *
 * seal.c
 *	  Names and bytes that only those who have the credential can read.
 *
 * An element is a header (version, generation, epoch, until, nonce), the
 * ciphertext and a tag.  Changing anything of that, or what the keys are made
 * of, takes another ELEMENT_VERSION or another label: elements of both versions
 * meet in one Redis.
 *
 * OpenSSL's error queue is left as it was found, for the server's TLS code
 * takes what it finds there for its own errors.  HKDF (RFC 5869) is written
 * with HMAC here: of OpenSSL's own two, the one that 1.1.1 has too takes five
 * times as long, for each element.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "cache/seal.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#define ELEMENT_VERSION	1

/* Where the parts of an element begin.  Numbers are big-endian. */
#define AT_VERSION		0
#define AT_GENERATION	1
#define AT_EPOCH		(AT_GENERATION + NAUTH_SEAL_ID)
#define AT_UNTIL		(AT_EPOCH + NAUTH_SEAL_ID)
#define AT_NONCE		(AT_UNTIL + NUMBER_BYTES)
#define AT_CONTENT		(AT_NONCE + NONCE_BYTES)

#define NUMBER_BYTES	8
#define NONCE_BYTES		12
#define TAG_BYTES		16

#define NAME_LABEL			"neon_auth_fdw name key 1"
#define SEAL_LABEL			"neon_auth_fdw seal key 1"
#define GENERATION_LABEL	"neon_auth_fdw seal 1"

static const char digits[] = "0123456789abcdef";

static void
write_number(uint8_t *place, uint64_t number)
{
	for (int i = NUMBER_BYTES - 1; i >= 0; i--, number >>= 8)
		place[i] = (uint8_t) number;
}

static uint64_t
read_number(const uint8_t *place)
{
	uint64_t	number = 0;

	for (int i = 0; i < NUMBER_BYTES; i++)
		number = number << 8 | place[i];
	return number;
}

static bool
hmac(const uint8_t key[NAUTH_SEAL_KEY], const uint8_t *data, size_t len,
	 uint8_t mac[NAUTH_SEAL_KEY])
{
	unsigned int mac_len;

	return HMAC(EVP_sha256(), key, NAUTH_SEAL_KEY, data, len, mac, &mac_len) != NULL;
}

/* HMAC of parts, the length before each of them. */
static bool
hmac_parts(const uint8_t key[NAUTH_SEAL_KEY], const NauthSpan *parts, int count,
		   uint8_t mac[NAUTH_SEAL_KEY])
{
	size_t		len = (size_t) count * NUMBER_BYTES;
	uint8_t    *data;
	uint8_t    *end;
	bool		done;

	for (int i = 0; i < count; i++)
		len += parts[i].len;
	end = data = OPENSSL_malloc(len > 0 ? len : 1);
	if (data == NULL)
		return false;
	for (int i = 0; i < count; i++)
	{
		write_number(end, parts[i].len);
		end += NUMBER_BYTES;
		if (parts[i].len > 0)
			memcpy(end, parts[i].data, parts[i].len);
		end += parts[i].len;
	}
	done = hmac(key, data, len, mac);
	OPENSSL_clear_free(data, len);
	return done;
}

/* HKDF-Expand for one key.  id, part of the info, may be NULL. */
static bool
expand_key(const uint8_t secret[NAUTH_SEAL_KEY], const char *label,
		   const uint8_t *id, uint8_t key[NAUTH_SEAL_KEY])
{
	uint8_t		info[64 + NAUTH_SEAL_ID + 1];
	size_t		len = strlen(label);

	memcpy(info, label, len);
	if (id != NULL)
	{
		memcpy(info + len, id, NAUTH_SEAL_ID);
		len += NAUTH_SEAL_ID;
	}
	info[len++] = 1;			/* the first and last block */
	return hmac(secret, info, len, key);
}

bool
nauth_seal_random(uint8_t *bytes, size_t len)
{
	bool		done;

	if (len > INT_MAX)
		return false;
	ERR_set_mark();
	done = RAND_bytes(bytes, (int) len) == 1;
	ERR_pop_to_mark();
	return done;
}

bool
nauth_seal_derive(const NauthSpan *secrets, int count, NauthSealKeys *keys)
{
	static const uint8_t no_salt[NAUTH_SEAL_KEY];
	uint8_t		extracted[NAUTH_SEAL_KEY];
	bool		done;

	ERR_set_mark();
	done = hmac_parts(no_salt, secrets, count, extracted) &&
		expand_key(extracted, NAME_LABEL, NULL, keys->name) &&
		expand_key(extracted, SEAL_LABEL, NULL, keys->seal);
	OPENSSL_cleanse(extracted, sizeof(extracted));
	ERR_pop_to_mark();
	return done;
}

bool
nauth_seal_name(const NauthSealKeys *keys, const NauthSpan *parts, int count,
				char name[NAUTH_SEAL_NAME])
{
	uint8_t		mac[NAUTH_SEAL_KEY] = {0};
	bool		done;

	ERR_set_mark();
	done = hmac_parts(keys->name, parts, count, mac);
	ERR_pop_to_mark();
	nauth_seal_write_id(mac, name);
	return done;
}

void
nauth_seal_write_id(const uint8_t id[NAUTH_SEAL_ID], char text[NAUTH_SEAL_NAME])
{
	for (int i = 0; i < NAUTH_SEAL_ID; i++)
	{
		text[2 * i] = digits[id[i] >> 4];
		text[2 * i + 1] = digits[id[i] & 15];
	}
	text[2 * NAUTH_SEAL_ID] = '\0';
}

/* Only as it is written: no id has two texts. */
bool
nauth_seal_read_id(NauthSpan text, uint8_t id[NAUTH_SEAL_ID])
{
	if (text.len != 2 * NAUTH_SEAL_ID)
		return false;
	for (int i = 0; i < 2 * NAUTH_SEAL_ID; i++)
	{
		const char *digit = memchr(digits, text.data[i], sizeof(digits) - 1);

		if (digit == NULL)
			return false;
		id[i / 2] = (uint8_t) (id[i / 2] << 4 | (digit - digits));
	}
	return true;
}

/*
 * Begin to seal or to open the element with this header: its key and nonce are
 * set, header and place taken in.  NULL if OpenSSL has no memory.
 */
static EVP_CIPHER_CTX *
begin_cipher(const NauthSealKeys *keys, const char *place, const uint8_t *header, bool seal)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	size_t		place_len = strlen(place);
	uint8_t		place_number[NUMBER_BYTES];
	uint8_t		key[NAUTH_SEAL_KEY];
	int			len;
	bool		done;

	write_number(place_number, place_len);
	done = cipher != NULL && place_len <= INT_MAX &&
		expand_key(keys->seal, GENERATION_LABEL, header + AT_GENERATION, key) &&
		EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, header + AT_NONCE, seal) == 1 &&
		EVP_CipherUpdate(cipher, NULL, &len, place_number, NUMBER_BYTES) == 1 &&
		EVP_CipherUpdate(cipher, NULL, &len, (const uint8_t *) place, (int) place_len) == 1 &&
		EVP_CipherUpdate(cipher, NULL, &len, header, AT_NONCE) == 1;
	OPENSSL_cleanse(key, sizeof(key));
	if (done)
		return cipher;
	EVP_CIPHER_CTX_free(cipher);
	return NULL;
}

/* Before OpenSSL 3 an update without bytes is taken for the end. */
static bool
run_cipher(EVP_CIPHER_CTX *cipher, uint8_t *out, const uint8_t *in, size_t len)
{
	int			out_len;

	return len == 0 || EVP_CipherUpdate(cipher, out, &out_len, in, (int) len) == 1;
}

bool
nauth_seal(const NauthSealKeys *keys, const NauthSealPlace *place,
		   const char *content, size_t len, char *element)
{
	uint8_t    *bytes = (uint8_t *) element;
	EVP_CIPHER_CTX *cipher;
	int			out_len;
	bool		done;

	if (len > INT_MAX || !nauth_seal_random(bytes + AT_NONCE, NONCE_BYTES))
		return false;
	bytes[AT_VERSION] = ELEMENT_VERSION;
	memcpy(bytes + AT_GENERATION, place->generation, NAUTH_SEAL_ID);
	memcpy(bytes + AT_EPOCH, place->epoch, NAUTH_SEAL_ID);
	write_number(bytes + AT_UNTIL, (uint64_t) place->until);

	ERR_set_mark();
	cipher = begin_cipher(keys, place->place, bytes, true);
	bytes += AT_CONTENT;
	done = cipher != NULL &&
		run_cipher(cipher, bytes, (const uint8_t *) content, len) &&
		EVP_CipherFinal_ex(cipher, bytes + len, &out_len) == 1 &&
		EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, bytes + len) == 1;
	EVP_CIPHER_CTX_free(cipher);
	ERR_pop_to_mark();
	return done;
}

bool
nauth_seal_peek(NauthSpan element, NauthSealPlace *place)
{
	const uint8_t *bytes = (const uint8_t *) element.data;

	if (element.len < NAUTH_SEAL_OVERHEAD || element.len > INT_MAX ||
		bytes[AT_VERSION] != ELEMENT_VERSION)
		return false;
	memcpy(place->generation, bytes + AT_GENERATION, NAUTH_SEAL_ID);
	memcpy(place->epoch, bytes + AT_EPOCH, NAUTH_SEAL_ID);
	place->until = (int64_t) read_number(bytes + AT_UNTIL);
	return true;
}

/* Decrypt what cipher has begun; only its end tells whether that is genuine. */
static NauthSealResult
open_content(EVP_CIPHER_CTX *cipher, const uint8_t *sealed, size_t len, uint8_t *content)
{
	uint8_t		tag[TAG_BYTES];
	int			out_len;

	memcpy(tag, sealed + len, TAG_BYTES);
	if (cipher == NULL || !run_cipher(cipher, content, sealed, len) ||
		EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) != 1)
		return NAUTH_SEAL_MEMORY;
	return EVP_CipherFinal_ex(cipher, content + len, &out_len) == 1 ?
		NAUTH_SEAL_OK : NAUTH_SEAL_BROKEN;
}

NauthSealResult
nauth_unseal(const NauthSealKeys *keys, NauthSealPlace *place,
			 NauthSpan element, char *content, size_t *len)
{
	const uint8_t *bytes = (const uint8_t *) element.data;
	EVP_CIPHER_CTX *cipher;
	NauthSealResult result;

	*len = 0;
	if (!nauth_seal_peek(element, place))
		return NAUTH_SEAL_FOREIGN;
	ERR_set_mark();
	cipher = begin_cipher(keys, place->place, bytes, false);
	result = open_content(cipher, bytes + AT_CONTENT, element.len - NAUTH_SEAL_OVERHEAD,
						  (uint8_t *) content);
	EVP_CIPHER_CTX_free(cipher);
	ERR_pop_to_mark();
	if (result == NAUTH_SEAL_OK)
		*len = element.len - NAUTH_SEAL_OVERHEAD;
	else
		OPENSSL_cleanse(content, element.len - NAUTH_SEAL_OVERHEAD);
	return result;
}
