/*-------------------------------------------------------------------------
 *
 * codec.h
 *	  Pages of users as bytes, and back.
 *
 * A page is two elements: the narrow one has all columns but raw_json, the wide
 * one has that, as the bytes of PostgreSQL's jsonb.  Both are compressed with
 * LZ4; codec.c is the only file that includes it.  What is decoded is checked
 * to the last byte, for it goes into the executor: lengths, texts, times, and
 * the whole structure of each jsonb.  Bytes forged by somebody who has the
 * credential can be wrong data, but must never bring down a server.
 *
 * No PostgreSQL header here: this file is unit tested and fuzzed by itself.
 * Numbers are stored in the byte order of the machine; NAUTH_CODEC_VERSION is
 * part of all names of the cache, so that machines which differ do not meet.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_CODEC_H
#define NAUTH_CODEC_H

#include "slice.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NAUTH_CODEC_VERSION	"2 little-endian"
#else
#define NAUTH_CODEC_VERSION	"2 big-endian"
#endif

#define NAUTH_CODEC_USERS	1000	/* of one page, at most */
#define NAUTH_CODEC_TEXT	4096	/* bytes of a text, at most */
#define NAUTH_CODEC_MAX		(64 * 1024 * 1024)	/* bytes, uncompressed */

/*
 * Before each value of a decoded page there are so many bytes that the reader
 * may overwrite, and they are aligned to as many: room for a varlena header.
 */
#define NAUTH_CODEC_HEADER	4

/* Memory of malloc that grows as needed; all zeros is an empty one. */
typedef struct NauthBytes
{
	char	   *data;
	size_t		len;
	size_t		capacity;
} NauthBytes;

extern bool nauth_bytes_reserve(NauthBytes *bytes, size_t capacity);	/* false: no memory */
extern void nauth_bytes_free(NauthBytes *bytes);

/* Texts of a user. */
typedef enum NauthCodecText
{
	NAUTH_CODEC_ID,
	NAUTH_CODEC_NAME,
	NAUTH_CODEC_EMAIL,
	NAUTH_CODEC_REASON			/* why the user is left out; it has no other
								 * column then */
} NauthCodecText;

#define NAUTH_CODEC_TEXTS	4

typedef struct NauthCodecUser
{
	NauthSpan	texts[NAUTH_CODEC_TEXTS];	/* data is NULL for null */
	bool		has_created_at;
	bool		has_updated_at;
	bool		has_deleted_at;
	int64_t		created_at;		/* as PostgreSQL's timestamptz */
	int64_t		updated_at;
	int64_t		deleted_at;
	NauthSpan	json;			/* a jsonb without its varlena header; data is
								 * NULL for a user left out, and in a page of
								 * which only the narrow element was decoded */
} NauthCodecUser;

/* How far a listing has come with a page. */
typedef struct NauthCodecProgress
{
	int64_t		started_at;		/* moment when the listing began */
	int64_t		fresh_from;		/* moment its age is counted from */
	int64_t		pages;			/* with this one, like the next two */
	int64_t		users;
	int64_t		bytes;
} NauthCodecProgress;

typedef struct NauthCodecPage
{
	NauthCodecProgress progress;
	bool		last;			/* no page follows */
	const char *cursor;			/* asked for with it; "" for the first */
	const char *next;			/* cursor of the next page, "" if last */
	int			count;
	NauthCodecUser users[NAUTH_CODEC_USERS];
} NauthCodecPage;

/* What is known of a whole listing. */
typedef enum NauthCodecState
{
	NAUTH_CODEC_GROWING,
	NAUTH_CODEC_COMPLETE,
	NAUTH_CODEC_TOO_LARGE		/* it was given up: more than the cache takes */
} NauthCodecState;

typedef struct NauthCodecHead
{
	NauthCodecState state;
	NauthCodecProgress progress;
} NauthCodecHead;

/*
 * Encode into bytes, compressed.  False when there is no memory, or something
 * is beyond the bounds above.  scratch holds what is not yet compressed; both
 * are overwritten.
 */
extern bool nauth_codec_write_narrow(const NauthCodecPage *page, NauthBytes *bytes, NauthBytes *scratch);
extern bool nauth_codec_write_wide(const NauthCodecPage *page, NauthBytes *bytes, NauthBytes *scratch);
extern bool nauth_codec_write_head(const NauthCodecHead *head, NauthBytes *bytes, NauthBytes *scratch);

/* Whether a text is valid in the encoding of the server, zeros excluded. */
typedef bool (*NauthCodecValid) (const char *text, size_t len);

/*
 * Decode an element.  False for whatever could not have been written by the
 * functions above, and when there is no memory.  plain owns the bytes that page
 * points into afterwards.  read_wide adds json to the users of a page whose
 * narrow element was read; it must be about as many users, with a json for each
 * that is not left out.
 */
extern bool nauth_codec_read_narrow(NauthSpan element, NauthCodecValid valid,
									NauthBytes *plain, NauthCodecPage *page);
extern bool nauth_codec_read_wide(NauthSpan element, NauthCodecValid valid,
								  NauthBytes *plain, NauthCodecPage *page);
extern bool nauth_codec_read_head(NauthSpan element, NauthBytes *plain, NauthCodecHead *head);

#endif							/* NAUTH_CODEC_H */
