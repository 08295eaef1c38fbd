/*-------------------------------------------------------------------------
 *
 * moment_test.c
 *	  Unit tests of the reading of times.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "moment.h"

#define DAY		INT64_C(86400000000)

typedef struct MomentCase
{
	const char *text;
	bool		read;
	int64_t		moment;
} MomentCase;

static const MomentCase text_cases[] = {
	{"1970-01-01T00:00:00Z", true, 0},
	{"2026-02-01T08:30:00.456Z", true, INT64_C(1769934600456000)},
	{"2026-02-01t08:30:00.456z", true, INT64_C(1769934600456000)},
	{"2026-02-01 09:30:00.456+01:00", true, INT64_C(1769934600456000)},
	{"2026-01-31T22:30:00.456-10:00", true, INT64_C(1769934600456000)},
	{"2026-02-01T14:15:00.456+05:45", true, INT64_C(1769934600456000)},
	{"2026-02-01T08:30:00.456-00:00", true, INT64_C(1769934600456000)},
	{"2026-02-01T08:30:00.4567899Z", true, INT64_C(1769934600456789)},
	{"2026-02-01T08:30:00.456789999999999999999999999999999999999999999999999Z", true, INT64_C(1769934600456789)},
	{"2026-02-01T08:30:00.4Z", true, INT64_C(1769934600400000)},
	{"1969-12-31T23:59:59.9999999Z", true, -1},
	{"2016-12-31T23:59:60Z", true, INT64_C(1483228800000000)},
	{"2016-12-31T23:59:60.5Z", true, INT64_C(1483228800500000)},
	{"2024-02-29T00:00:00Z", true, INT64_C(1709164800000000)},
	{"2000-02-29T00:00:00Z", true, INT64_C(951782400000000)},
	{"0001-01-01T00:00:00Z", true, NAUTH_MOMENT_MIN},
	{"0000-12-31T23:30:00-01:00", true, NAUTH_MOMENT_MIN + 30 * 60 * INT64_C(1000000)},
	{"9999-12-31T23:59:59.999999Z", true, NAUTH_MOMENT_MAX - 1},
	{"9999-12-31T23:59:60Z", false, 0},
	{"9999-12-31T23:59:59-00:01", false, 0},
	{"0000-12-31T23:59:59Z", false, 0},
	{"0001-01-01T00:00:00+00:01", false, 0},
	{"2023-02-29T00:00:00Z", false, 0},
	{"1900-02-29T00:00:00Z", false, 0},
	{"2026-02-30T00:00:00Z", false, 0},
	{"2026-04-31T00:00:00Z", false, 0},
	{"2026-00-01T00:00:00Z", false, 0},
	{"2026-13-01T00:00:00Z", false, 0},
	{"2026-01-00T00:00:00Z", false, 0},
	{"2026-01-32T00:00:00Z", false, 0},
	{"2026-01-01T24:00:00Z", false, 0},
	{"2026-01-01T00:60:00Z", false, 0},
	{"2026-01-01T00:00:61Z", false, 0},
	{"2026-01-01T00:00:00", false, 0},
	{"2026-01-01T00:00:00.Z", false, 0},
	{"2026-01-01T00:00:00,5Z", false, 0},
	{"2026-01-01T00:00:00+24:00", false, 0},
	{"2026-01-01T00:00:00+00:60", false, 0},
	{"2026-01-01T00:00:00+0100", false, 0},
	{"2026-01-01T00:00:00+01", false, 0},
	{"2026-01-01T00:00:00+", false, 0},
	{"2026-01-01T00:00:00Z ", false, 0},
	{"2026-01-01T00:00:00ZZ", false, 0},
	{" 2026-01-01T00:00:00Z", false, 0},
	{"2026-1-1T00:00:00Z", false, 0},
	{"+2026-01-01T00:00:00Z", false, 0},
	{"-2026-01-01T00:00:00Z", false, 0},
	{"12026-01-01T00:00:00Z", false, 0},
	{"2026/01/01T00:00:00Z", false, 0},
	{"2026-01-01_00:00:00Z", false, 0},
	{"2026-01-01", false, 0},
	{"infinity", false, 0},
	{"now", false, 0},
	{"", false, 0}
};

static const MomentCase value_cases[] = {
	{"\"2026-02-01T08:30:00.456Z\"", true, INT64_C(1769934600456000)},
	{"\"2026-02-01T08:30:00.456\\u005a\"", true, INT64_C(1769934600456000)},
	{"\"2026-02-01T08:30:00.456Z\\u0000\"", false, 0},
	{"2026", false, 0},
	{"null", false, 0},
	{"\"\"", false, 0}
};

static const MomentCase millisecond_cases[] = {
	{"1700000000123", true, INT64_C(1700000000123000)},
	{"0", true, 0},
	{"-1", true, -1000},
	{"1700000000", true, INT64_C(1700000000000)},
	{"-62135596800000", true, NAUTH_MOMENT_MIN},
	{"-62135596800001", false, 0},
	{"253402300799999", true, NAUTH_MOMENT_MAX - 1000},
	{"253402300800000", false, 0},
	{"1700000000123000", false, 0},
	{"9223372036854775807", false, 0},
	{"-9223372036854775808", false, 0},
	{"9223372036854775808", false, 0},
	{"1700000000123.5", false, 0},
	{"17e11", false, 0},
	{"\"1700000000123\"", false, 0},
	{"null", false, 0}
};

static void
test_texts(void)
{
	for (size_t i = 0; i < sizeof(text_cases) / sizeof(text_cases[0]); i++)
	{
		const MomentCase *test = &text_cases[i];
		NauthSpan	text = unit_copy_text(test->text);
		int64_t		moment = 0;

		ok(nauth_moment_parse(text.data, text.len, &moment) == test->read &&
		   moment == test->moment, test->text);
		unit_free(text);
	}
}

static void
test_values(const MomentCase *cases, size_t count, NauthMomentForm form)
{
	NauthSpan	absent = {NULL, 0};
	int64_t		moment;

	for (size_t i = 0; i < count; i++)
	{
		NauthSpan	value = unit_copy_text(cases[i].text);

		moment = 0;
		ok(nauth_moment_read(value, form, &moment) == cases[i].read &&
		   moment == cases[i].moment, cases[i].text);
		unit_free(value);
	}
	ok(!nauth_moment_read(absent, form, &moment), "absent");
}

/* Each day of the calendar is the day after the one before. */
static void
test_every_day(void)
{
	int64_t		expected = NAUTH_MOMENT_MIN;
	int			wrong = 0;

	for (int year = 1; year <= 9999; year++)
		for (int month = 1; month <= 12; month++)
			for (int day = 1; day <= 31; day++)
			{
				char		text[64];
				int64_t		moment;
				int			len = snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z",
										   year, month, day);

				if (!nauth_moment_parse(text, (size_t) len, &moment))
					continue;
				wrong += moment != expected;
				expected += DAY;
			}
	is_int(wrong, 0, "every day follows another");
	is_int(expected, NAUTH_MOMENT_MAX, "and there are as many as there should be");
}

/* Seconds, as numbers and as texts: the same, exactly, or neither. */
static void
test_seconds(void)
{
	static const MomentCase cases[] = {
		{"0", true, 0}, {"-0", true, 0}, {"0.0", true, 0},
		{"1700000501.456", true, INT64_C(1700000501456000)},
		{"1.700000501456E9", true, INT64_C(1700000501456000)},
		{"1.700000501456e+9", true, INT64_C(1700000501456000)},
		{"17000005014560000e-7", true, INT64_C(1700000501456000)},
		{"1700000501.4567899", true, INT64_C(1700000501456789)},
		{"0.000001", true, 1}, {"1e-6", true, 1}, {"1e-7", true, 0}, {"-1.5", true, -1500000},
		{"0e400", true, 0}, {"1e-400", true, 0},
		{"253402300799.999999", true, NAUTH_MOMENT_MAX - 1},
		{"253402300800", false, 0}, {"1e12", false, 0}, {"1e400", false, 0}, {"1e99999999999999999999", false, 0},
		{"-62135596800", true, NAUTH_MOMENT_MIN}, {"-62135596801", false, 0},
		{"1700000501456", false, 0},
		{"", false, 0}, {"-", false, 0}, {".5", false, 0}, {"1.", false, 0}, {"1e", false, 0}, {"1e+", false, 0},
		{"1.2.3", false, 0}, {"+1", false, 0}, {" 1", false, 0}, {"1 ", false, 0}, {"0x1", false, 0}, {"1-1", false, 0},
		{"nan", false, 0}, {"null", false, 0}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		text[64];
		int			len = snprintf(text, sizeof(text), "\"%s\"", cases[i].text);
		NauthSpan	quoted = {text, (size_t) len};
		NauthSpan	number = {text + 1, (size_t) len - 2};
		int64_t		moment = 0;

		ok(nauth_moment_read(number, NAUTH_MOMENT_SECONDS, &moment) == cases[i].read && moment == cases[i].moment,
		   cases[i].text);
		moment = 0;
		ok(nauth_moment_read(quoted, NAUTH_MOMENT_SECONDS, &moment) == cases[i].read && moment == cases[i].moment, text);
	}
}

static const MomentCase text_millisecond_cases[] = {
	{"\"1769934600456\"", true, INT64_C(1769934600456000)},
	{"\"0\"", true, 0},
	{"\"-1\"", true, -1000},
	{"1769934600456", false, 0},
	{"\"\"", false, 0},
	{"\"1769934600456.0\"", false, 0},
	{"\" 1\"", false, 0},
	{"null", false, 0}
};

int
main(void)
{
	test_texts();
	test_seconds();
	test_values(text_millisecond_cases, sizeof(text_millisecond_cases) / sizeof(text_millisecond_cases[0]),
				NAUTH_MOMENT_MILLISECONDS_TEXT);
	test_values(value_cases, sizeof(value_cases) / sizeof(value_cases[0]),
				NAUTH_MOMENT_RFC3339);
	test_values(millisecond_cases,
				sizeof(millisecond_cases) / sizeof(millisecond_cases[0]),
				NAUTH_MOMENT_MILLISECONDS);
	test_every_day();
	return done_testing();
}
