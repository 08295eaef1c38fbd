/*-------------------------------------------------------------------------
 *
 * moment.c
 *	  Points in time as providers write them.
 *
 * The calendar is the proleptic Gregorian one, as PostgreSQL has it.  This
 * file must not use a double, a time zone of the system or a locale.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "moment.h"

#include <stdio.h>
#include <string.h>
#include <time.h>


/* Characters of a time; one with more digits than this is no time. */
#define TEXT_MAX		128

/* What stands between the six numbers of a time, and their bounds. */
typedef struct NauthTimePart
{
	int			digits;
	int			least;
	int			most;
	const char *after;			/* any of these follows, none at the end */
} NauthTimePart;

enum
{
	YEAR, MONTH, DAY, HOUR, MINUTE, SECONDS_PART, PARTS
};

static const NauthTimePart time_parts[PARTS] = {
	[YEAR] = {4, 0, 9999, "-"},
	[MONTH] = {2, 1, 12, "-"},
	[DAY] = {2, 1, 31, "Tt "},
	[HOUR] = {2, 0, 23, ":"},
	[MINUTE] = {2, 0, 59, ":"},
	[SECONDS_PART] = {2, 0, 60, ""}
};

/* Read exactly so many digits and go behind them. */
static bool
read_number(const char **p, const char *end, const NauthTimePart *part,
			int *number)
{
	if (end - *p < part->digits)
		return false;
	*number = 0;
	for (int i = 0; i < part->digits; i++)
	{
		char		c = *(*p)++;

		if (c < '0' || c > '9')
			return false;
		*number = *number * 10 + (c - '0');
	}
	return *number >= part->least && *number <= part->most;
}

/* Go behind one character if it is one of these. */
static bool
read_any(const char **p, const char *end, const char *wanted)
{
	if (*p == end)
		return false;
	for (; *wanted != '\0'; wanted++)
	{
		if (**p == *wanted)
		{
			(*p)++;
			return true;
		}
	}
	return false;
}

/* Read the digits behind the point, if there is one, as microseconds. */
static bool
read_fraction(const char **p, const char *end, int64_t *microseconds)
{
	int64_t		unit = NAUTH_SECOND;
	const char *start;

	*microseconds = 0;
	if (!read_any(p, end, "."))
		return true;
	for (start = *p; *p < end && **p >= '0' && **p <= '9'; (*p)++)
	{
		unit /= 10;
		*microseconds += (**p - '0') * unit;
	}
	return *p > start;
}

/* Read "Z" or "+hh:mm" as the microseconds the clock there is ahead. */
static bool
read_offset(const char **p, const char *end, int64_t *offset)
{
	bool		behind;
	int			hours;
	int			minutes;

	*offset = 0;
	if (read_any(p, end, "Zz"))
		return true;
	behind = read_any(p, end, "-");
	if (!behind && !read_any(p, end, "+"))
		return false;
	if (!read_number(p, end, &time_parts[HOUR], &hours) ||
		!read_any(p, end, ":") ||
		!read_number(p, end, &time_parts[MINUTE], &minutes))
		return false;
	*offset = (hours * 60 + minutes) * 60 * NAUTH_SECOND;
	if (behind)
		*offset = -*offset;
	return true;
}

static int
days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/*
 * Days since 1970-01-01.  Years are counted from March on, so that the leap
 * day is the last of its year and months before it have fixed beginnings.
 */
static int64_t
days_since_epoch(int year, int month, int day)
{
	int64_t		years = year - (month <= 2) + 400;	/* never negative */
	int64_t		months = (month + 9) % 12;

	return years * 365 + years / 4 - years / 100 + years / 400
		+ (months * 153 + 2) / 5 + day - 1
		- (719468 + 146097);
}

static bool
in_range(int64_t moment)
{
	return moment >= NAUTH_MOMENT_MIN && moment < NAUTH_MOMENT_MAX;
}

bool
nauth_moment_parse(const char *text, size_t len, int64_t *moment)
{
	const char *p = text;
	const char *end = text + len;
	int			parts[PARTS];
	int64_t		seconds;
	int64_t		fraction;
	int64_t		offset;
	int64_t		result;

	for (int i = 0; i < PARTS; i++)
	{
		if (!read_number(&p, end, &time_parts[i], &parts[i]))
			return false;
		if (i < PARTS - 1 && !read_any(&p, end, time_parts[i].after))
			return false;
	}
	if (parts[DAY] > days_of_month(parts[YEAR], parts[MONTH]) ||
		!read_fraction(&p, end, &fraction) ||
		!read_offset(&p, end, &offset) ||
		p != end)
		return false;

	/* a leap second needs no care: 60 is the next minute's 0 */
	seconds = days_since_epoch(parts[YEAR], parts[MONTH], parts[DAY]) * 86400
		+ parts[HOUR] * 3600 + parts[MINUTE] * 60 + parts[SECONDS_PART];
	result = seconds * NAUTH_SECOND + fraction - offset;
	if (!in_range(result))
		return false;
	*moment = result;
	return true;
}

void
nauth_moment_write(int64_t moment, int digits, char text[NAUTH_MOMENT_TEXT])
{
	int64_t		fraction = moment % NAUTH_SECOND;
	time_t		seconds;
	struct tm	tm;
	int			len;

	if (fraction < 0)
		fraction += NAUTH_SECOND;
	seconds = (time_t) ((moment - fraction) / NAUTH_SECOND);
	gmtime_r(&seconds, &tm);
	/* the remainders tell the compiler how many digits there are */
	len = snprintf(text, NAUTH_MOMENT_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%06u",
				   (unsigned) (tm.tm_year + 1900) % 10000, (unsigned) (tm.tm_mon + 1) % 100,
				   (unsigned) tm.tm_mday % 100, (unsigned) tm.tm_hour % 100,
				   (unsigned) tm.tm_min % 100, (unsigned) tm.tm_sec % 100,
				   (unsigned) fraction % (unsigned) NAUTH_SECOND);
	len -= digits > 0 ? 6 - digits : 7;
	memcpy(text + len, "Z", sizeof("Z"));
}

static bool
read_milliseconds(NauthSpan value, int64_t *moment)
{
	int64_t		milliseconds;

	if (!nauth_slice_int64(value, &milliseconds) ||
		milliseconds < NAUTH_MOMENT_MIN / NAUTH_MILLISECOND ||
		milliseconds >= NAUTH_MOMENT_MAX / NAUTH_MILLISECOND)
		return false;
	*moment = milliseconds * NAUTH_MILLISECOND;
	return true;
}

/*
 * Go behind the digits of a number, and its point, copying those without that.
 * *point is how many stand before it.  False without a digit on either side.
 */
static bool
read_digits(const char **p, const char *end, char digits[TEXT_MAX], int *count, int *point)
{
	const char *start = *p;

	for (*count = 0; *p < end && **p >= '0' && **p <= '9'; (*p)++)
		digits[(*count)++] = **p;
	*point = *count;
	if (*p == start || !read_any(p, end, "."))
		return *p > start;
	for (start = *p; *p < end && **p >= '0' && **p <= '9'; (*p)++)
		digits[(*count)++] = **p;
	return *p > start;
}

/* Read the exponent of a number, if there is one. */
static bool
read_exponent(const char **p, const char *end, int *exponent)
{
	bool		negative;
	const char *start;

	*exponent = 0;
	if (!read_any(p, end, "eE"))
		return true;
	negative = read_any(p, end, "-");
	if (!negative)
		(void) read_any(p, end, "+");
	for (start = *p; *p < end && **p >= '0' && **p <= '9' && *exponent <= NAUTH_SLICE_EXPONENT; (*p)++)
		*exponent = *exponent * 10 + (**p - '0');
	if (negative)
		*exponent = -*exponent;
	return *p > start;
}

/* Read seconds as they are written, for a double would lose microseconds. */
static bool
read_seconds(const char *text, size_t len, int64_t *moment)
{
	const char *p = text;
	const char *end = text + len;
	bool		negative = read_any(&p, end, "-");
	char		digits[TEXT_MAX];
	int64_t		result = 0;
	int			count;
	int			point;
	int			exponent;

	if (len > TEXT_MAX || !read_digits(&p, end, digits, &count, &point) ||
		!read_exponent(&p, end, &exponent) || p != end)
		return false;
	for (int i = 0; i < point + exponent + 6; i++)
	{
		/* it grows no more, and there may be many zeros before it */
		if (result >= NAUTH_MOMENT_MAX)
			return false;
		result = result * 10 + (i < count ? digits[i] - '0' : 0);
	}
	if (negative)
		result = -result;
	if (!in_range(result))
		return false;
	*moment = result;
	return true;
}

bool
nauth_moment_read(NauthSpan value, NauthMomentForm form, int64_t *moment)
{
	char		text[TEXT_MAX];
	bool		is_text = nauth_slice_text(value, text, sizeof(text));
	NauthSpan	inner = {text, strlen(text)};

	switch (form)
	{
		case NAUTH_MOMENT_MILLISECONDS:
			return read_milliseconds(value, moment);
		case NAUTH_MOMENT_MILLISECONDS_TEXT:
			return is_text && read_milliseconds(inner, moment);
		case NAUTH_MOMENT_RFC3339:
			return is_text && nauth_moment_parse(text, inner.len, moment);
		case NAUTH_MOMENT_SECONDS:
			if (is_text)
				return read_seconds(text, inner.len, moment);
			return value.data != NULL && read_seconds(value.data, value.len, moment);
	}
	return false;
}
