/*-------------------------------------------------------------------------
 *
 * codec_fuzz.c
 *	  Fuzz the readers of cached elements and the check of jsonb.
 *
 * An input is taken for an element of each kind, for the plain bytes of one, so
 * that decompression keeps nothing away from the readers, and for a jsonb.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "codec_unit.h"

static int	wrong;

/* Read bytes as an element of each kind, a wide one for a page of so many users. */
static void
read_element(NauthSpan bytes, int count)
{
	static NauthCodecPage page;
	NauthSpan	none = {NULL, 0};

	codec_make_page(&page, count, none);
	for (Kind kind = NARROW; kind <= HEAD; kind++)
		codec_takes(kind, &page, bytes, &wrong);
}

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NauthSpan	input = {(const char *) data, size};
	NauthSpan	compressed = codec_compress(input.data, size);
	uint32_t	count = size < 8 ? 0 : unit_word(input.data + 4);	/* if it is a wide one's */

	read_element(input, USER_KINDS);
	read_element(compressed, count > USER_KINDS ? 0 : (int) count);
	if (nauth_jsonb_valid(input.data, size, unit_utf8))
		unit_jsonb_walk(input.data);
	free((void *) compressed.data);
	if (wrong > 0)
		abort();
	return 0;
}
