/*-------------------------------------------------------------------------
 *
 * codec_unit.h
 *	  What tests and the fuzzer of the codec share.
 *
 * What a reader takes must be what a writer would have written: whenever bytes
 * are taken, writing what was read gives the very same bytes again.  And all
 * that was read lies inside of them, with room for a header before.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_CODEC_UNIT_H
#define NAUTH_CODEC_UNIT_H

#include <lz4.h>
#include <stdlib.h>

#include "jsonb_unit.h"

typedef enum Kind
{
	NARROW, WIDE, HEAD
} Kind;

/* An element as it was read, and the bytes it points into. */
typedef struct Element
{
	Kind		kind;
	NauthBytes	plain;
	NauthCodecHead head;
	NauthCodecPage page;
} Element;

static inline bool
codec_write(Kind kind, const NauthCodecPage *page, const NauthCodecHead *head,
			NauthBytes *bytes, NauthBytes *plain)
{
	switch (kind)
	{
		case NARROW:
			return nauth_codec_write_narrow(page, bytes, plain);
		case WIDE:
			return nauth_codec_write_wide(page, bytes, plain);
		case HEAD:
			break;
	}
	return nauth_codec_write_head(head, bytes, plain);
}

static inline bool
codec_read(Element *element, NauthSpan bytes)
{
	switch (element->kind)
	{
		case NARROW:
			return nauth_codec_read_narrow(bytes, unit_utf8, &element->plain, &element->page);
		case WIDE:
			return nauth_codec_read_wide(bytes, unit_utf8, &element->plain, &element->page);
		case HEAD:
			break;
	}
	return nauth_codec_read_head(bytes, &element->plain, &element->head);
}

/* An element of these plain bytes, whatever they are, in malloc'ed memory. */
static inline NauthSpan
codec_compress(const char *plain, size_t len)
{
	uint32_t	plain_len = (uint32_t) len;
	int			bound = LZ4_compressBound((int) len);
	NauthBytes	bytes = {NULL, 0, 0};
	NauthSpan	span;

	if (!nauth_bytes_reserve(&bytes, sizeof(plain_len) + bound))
		abort();
	memcpy(bytes.data, &plain_len, sizeof(plain_len));
	span.data = bytes.data;
	span.len = sizeof(plain_len) +
		LZ4_compress_default(plain, bytes.data + sizeof(plain_len), (int) len, bound);
	return span;
}

static inline bool
codec_is_inside(NauthSpan value, const NauthBytes *plain)
{
	if (value.data == NULL)
		return true;
	return value.data - NAUTH_CODEC_HEADER >= plain->data && value.len <= plain->len &&
		value.data <= plain->data + plain->len - value.len &&
		(uintptr_t) value.data % NAUTH_CODEC_HEADER == 0 &&
		unit_word(value.data - NAUTH_CODEC_HEADER) == value.len;
}

static inline bool
codec_all_inside(const Element *element)
{
	const NauthCodecPage *page = &element->page;
	NauthSpan	cursor = {page->cursor, element->kind == NARROW ? strlen(page->cursor) : 0};
	NauthSpan	next = {page->next, element->kind == NARROW ? strlen(page->next) : 0};
	bool		inside = true;

	if (element->kind == HEAD)
		return true;
	if (element->kind == NARROW)
		inside = codec_is_inside(cursor, &element->plain) && codec_is_inside(next, &element->plain);
	for (int i = 0; i < page->count; i++)
	{
		const NauthCodecUser *user = &page->users[i];

		if (element->kind == WIDE)
		{
			inside &= codec_is_inside(user->json, &element->plain);
			if (inside && user->json.data != NULL)
				unit_jsonb_walk(user->json.data);
			continue;
		}
		inside &= user->json.data == NULL;
		for (int k = 0; k < NAUTH_CODEC_TEXTS; k++)
			inside &= codec_is_inside(user->texts[k], &element->plain);
	}
	return inside;
}

/* Whether what was read keeps the promises at the top. */
static inline bool
codec_makes_sense(const Element *element)
{
	NauthBytes	bytes = {NULL, 0, 0};
	NauthBytes	plain = {NULL, 0, 0};
	bool		result;

	result = codec_all_inside(element) &&
		codec_write(element->kind, &element->page, &element->head, &bytes, &plain) &&
		plain.len == element->plain.len && memcmp(plain.data, element->plain.data, plain.len) == 0;
	nauth_bytes_free(&bytes);
	nauth_bytes_free(&plain);
	return result;
}

/* Numbers of users in codec_make_page, by what they are. */
#define FULL			0
#define NULLS			1
#define LEFT_OUT		2
#define EMPTY_TEXTS		3
#define USER_KINDS		4

/* A page of so many users, of each kind in turn, with this json. */
static inline void
codec_make_page(NauthCodecPage *page, int count, NauthSpan json)
{
	static const NauthCodecUser users[USER_KINDS] = {
		[FULL] = {
			{{"user_1", 6}, {"Z\xC3\xB6" "e", 4}, {"zoe@example.com", 15}, {NULL, 0}},
			true, true, true, 42, -42, 43, {NULL, 0}
		},
		[NULLS] = {
			{{"user_22", 7}, {NULL, 0}, {NULL, 0}, {NULL, 0}},
			false, false, false, 0, 0, 0, {NULL, 0}
		},
		[LEFT_OUT] = {
			{{NULL, 0}, {NULL, 0}, {NULL, 0}, {"it has a NUL", 12}},
			false, false, false, 0, 0, 0, {NULL, 0}
		},
		[EMPTY_TEXTS] = {
			{{"u", 1}, {"", 0}, {"", 0}, {NULL, 0}},
			false, true, false, 0, 1000, 0, {NULL, 0}
		}
	};

	memset(page, 0, sizeof(*page));
	page->progress.started_at = INT64_C(1769934600456000);
	page->progress.fresh_from = page->progress.started_at + 1;
	page->progress.pages = 3;
	page->progress.users = 1234;
	page->progress.bytes = 56789;
	page->cursor = "500 3:abc";
	page->next = "1000";
	page->count = count;
	for (int i = 0; i < count; i++)
	{
		page->users[i] = users[i % USER_KINDS];
		if (i % USER_KINDS != LEFT_OUT)
			page->users[i].json = json;
	}
}

/*
 * Whether an element is taken for one of its kind, a wide one for this page.
 * *wrong counts those that are and make no sense.
 */
static inline bool
codec_takes(Kind kind, const NauthCodecPage *page, NauthSpan bytes, int *wrong)
{
	static Element element;
	bool		taken;

	memset(&element.plain, 0, sizeof(element.plain));
	element.kind = kind;
	element.page.count = page->count;
	memcpy(element.page.users, page->users, sizeof(page->users[0]) * page->count);
	taken = codec_read(&element, bytes);
	*wrong += taken && !codec_makes_sense(&element);
	nauth_bytes_free(&element.plain);
	return taken;
}

/* The same for the plain bytes of one. */
static inline bool
codec_takes_plain(Kind kind, const NauthCodecPage *page, const NauthBytes *plain, size_t len,
				  int *wrong)
{
	NauthSpan	bytes = codec_compress(plain->data, len);
	bool		taken = codec_takes(kind, page, bytes, wrong);

	free((void *) bytes.data);
	return taken;
}

#endif							/* NAUTH_CODEC_UNIT_H */
