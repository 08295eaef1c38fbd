/*-------------------------------------------------------------------------
 *
 * slice_fuzz.c
 *	  Fuzz the JSON splitter, the readers of values and of times.
 *
 * Besides what the sanitizers see, this checks what callers rely on, and that
 * whatever jansson takes for an array of objects is split into the same
 * objects with the same members.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "moment.h"
#include "slice.h"

#define TEXT_MAX	40

static const char *const names[] = {"id", "updated_at", NULL};

#define check(condition) \
	do { if (!(condition)) abort(); } while (0)

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_within(NauthSpan inner, NauthSpan outer)
{
	return inner.data >= outer.data && inner.len <= outer.len &&
		(size_t) (inner.data - outer.data) <= outer.len - inner.len;
}

static void
check_value(NauthSpan value)
{
	char		text[TEXT_MAX];
	int64_t		number;
	int64_t		moment;

	if (nauth_slice_text(value, text, sizeof(text)))
	{
		json_t	   *copy = json_string(text);	/* NULL if it is not UTF-8 */

		check(copy != NULL);
		json_decref(copy);
	}
	else
		check(text[0] == '\0');
	if (nauth_slice_int64(value, &number))
	{
		char		digits[32];

		check(value.len < sizeof(digits));
		memcpy(digits, value.data, value.len);
		digits[value.len] = '\0';
		check(number == strtoll(digits, NULL, 10));
	}
	if (nauth_moment_read(value, NAUTH_MOMENT_MILLISECONDS, &moment) ||
		nauth_moment_read(value, NAUTH_MOMENT_RFC3339, &moment))
		check(moment >= NAUTH_MOMENT_MIN && moment < NAUTH_MOMENT_MAX);
}

/* An element looked at by itself is what it was on the page. */
static void
check_element(NauthSpan element, NauthSliceResult result,
			  const NauthSpan *found)
{
	NauthSpan	again[2];

	check(element.len >= 2 && element.data[0] == '{' &&
		  element.data[element.len - 1] == '}');
	check(nauth_slice_object(element, names, again) == result);
	for (int i = 0; i < 2; i++)
	{
		check(again[i].data == found[i].data && again[i].len == found[i].len);
		if (found[i].data == NULL)
			continue;
		check(found[i].len > 0 && is_within(found[i], element));
		check_value(found[i]);
	}
}

/* An element is what jansson says that it is. */
static void
check_parsed(const json_t *object, NauthSliceResult result,
			 const NauthSpan *found)
{
	const json_t *id = json_object_get(object, "id");
	const json_t *updated_at = json_object_get(object, "updated_at");
	char		text[TEXT_MAX];
	int64_t		number;

	check(json_is_object(object) && result != NAUTH_SLICE_DUPLICATE);
	check((id != NULL) == (found[0].data != NULL));
	check(nauth_slice_int64(found[1], &number) == json_is_integer(updated_at));
	if (json_is_integer(updated_at))
		check(number == json_integer_value(updated_at));

	/* a text of ours ends at its first zero byte, so it may hold none */
	if (json_is_string(id) && json_string_length(id) < sizeof(text))
		check(nauth_slice_text(found[0], text, sizeof(text))
			  ? strcmp(text, json_string_value(id)) == 0
			  : strlen(json_string_value(id)) < json_string_length(id));
}

static void
check_array(NauthSpan json, const json_t *parsed)
{
	NauthSlicer slicer;
	NauthSpan	rest = json;
	NauthSpan	element;
	NauthSpan	found[2];
	size_t		count = 0;
	NauthSliceResult result = nauth_slice_array(&slicer, json);

	while (result != NAUTH_SLICE_SYNTAX && result != NAUTH_SLICE_TYPE)
	{
		result = nauth_slice_next(&slicer, names, &element, found);
		if (result == NAUTH_SLICE_END || result == NAUTH_SLICE_SYNTAX ||
			result == NAUTH_SLICE_TYPE)
			break;
		check(is_within(element, rest));
		rest.len -= (size_t) (element.data + element.len - rest.data);
		rest.data = element.data + element.len;
		check_element(element, result, found);
		if (json_is_array(parsed))
			check_parsed(json_array_get(parsed, count), result, found);
		count++;
	}
	if (json_is_array(parsed))
		check(result == NAUTH_SLICE_TYPE ||
			  (result == NAUTH_SLICE_END && count == json_array_size(parsed)));
	else if (parsed != NULL)
		check(result == NAUTH_SLICE_TYPE);
}

/* jansson skips a zero byte behind a number, so it is not asked about those. */
static json_t *
parse(NauthSpan json)
{
	if (json.len > 0 && memchr(json.data, '\0', json.len) != NULL)
		return NULL;
	return json_loadb(json.data, json.len,
					  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NauthSpan	json = {(const char *) data, size};
	json_t	   *parsed = parse(json);
	NauthSpan	found[2];
	int64_t		moment;

	check_array(json, parsed);
	json_decref(parsed);
	nauth_slice_object(json, names, found);
	check_value(json);
	if (nauth_moment_parse(json.data, json.len, &moment))
		check(moment >= NAUTH_MOMENT_MIN && moment < NAUTH_MOMENT_MAX);
	return 0;
}
