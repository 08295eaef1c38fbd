/*-------------------------------------------------------------------------
 *
 * encode.c
 *	  Users as they lie in the cache: from a reply, and to column values.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "encode.h"
#include "pgcompat.h"

/* Columns that are texts in a cached page. */
static const struct
{
	NauthColumn column;
	NauthCodecText text;
}			text_columns[] = {
	{NAUTH_ID, NAUTH_CODEC_ID},
	{NAUTH_NAME, NAUTH_CODEC_NAME},
	{NAUTH_EMAIL, NAUTH_CODEC_EMAIL},
};

static NauthSpan
span_of_text(Datum value)
{
	NauthSpan	span = {VARDATA(DatumGetPointer(value)), VARSIZE(DatumGetPointer(value)) - VARHDRSZ};

	return span;
}

void
nauth_encode_user(const NauthOptions *options, const NauthUser *user, NauthCodecUser *encoded)
{
	NauthRow	row;
	const char *reason = nauth_user_to_row(options, user, &row);

	memset(encoded, 0, sizeof(*encoded));
	if (reason)
	{
		encoded->texts[NAUTH_CODEC_REASON].data = reason;
		encoded->texts[NAUTH_CODEC_REASON].len = strlen(reason);
		return;
	}
	for (int i = 0; i < lengthof(text_columns); i++)
		if (!row.nulls[text_columns[i].column])
			encoded->texts[text_columns[i].text] = span_of_text(row.values[text_columns[i].column]);
	encoded->has_created_at = !row.nulls[NAUTH_CREATED_AT];
	encoded->has_updated_at = !row.nulls[NAUTH_UPDATED_AT];
	encoded->has_deleted_at = !row.nulls[NAUTH_DELETED_AT];
	if (encoded->has_created_at)
		encoded->created_at = DatumGetTimestampTz(row.values[NAUTH_CREATED_AT]);
	if (encoded->has_updated_at)
		encoded->updated_at = DatumGetTimestampTz(row.values[NAUTH_UPDATED_AT]);
	if (encoded->has_deleted_at)
		encoded->deleted_at = DatumGetTimestampTz(row.values[NAUTH_DELETED_AT]);
	encoded->json = span_of_text(row.values[NAUTH_RAW_JSON]);
}

/* Bytes of a decoded page as a value: there is room for its header. */
static Datum
datum_of_span(NauthSpan span)
{
	char	   *value = (char *) span.data - VARHDRSZ;

	SET_VARSIZE(value, span.len + VARHDRSZ);
	return PointerGetDatum(value);
}

void
nauth_decode_user(const NauthCodecUser *user, NauthRow *row)
{
	for (int i = 0; i < lengthof(text_columns); i++)
	{
		NauthSpan	text = user->texts[text_columns[i].text];
		NauthColumn column = text_columns[i].column;

		row->nulls[column] = text.data == NULL;
		if (text.data)
			row->values[column] = datum_of_span(text);
	}
	row->nulls[NAUTH_CREATED_AT] = !user->has_created_at;
	row->values[NAUTH_CREATED_AT] = TimestampTzGetDatum(user->created_at);
	row->nulls[NAUTH_UPDATED_AT] = !user->has_updated_at;
	row->values[NAUTH_UPDATED_AT] = TimestampTzGetDatum(user->updated_at);
	row->nulls[NAUTH_DELETED_AT] = !user->has_deleted_at;
	row->values[NAUTH_DELETED_AT] = TimestampTzGetDatum(user->deleted_at);
	row->nulls[NAUTH_RAW_JSON] = user->json.data == NULL;
	if (user->json.data)
		row->values[NAUTH_RAW_JSON] = datum_of_span(user->json);
}
