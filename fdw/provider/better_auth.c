/*-------------------------------------------------------------------------
 *
 * better_auth.c
 *	  Better Auth, by its admin plugin.
 *
 * There are only offsets to page with, and a user deleted in the part that was
 * read moves an unread one into it.  So each page begins some rows early and
 * must show the users that were read last; where it does not, we go back.
 *
 * The server answers an error of its own with 200, no users and a total of 0.
 * Only a true answer repeats the limit it was asked with.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "provider.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * Never changes in a user's life, so that nobody moves within a listing, and
 * is nobody else's.  By createdAt, users made at the same moment have no order
 * among them: PostgreSQL then gives some twice and others never.
 */
#define SORT_MEMBER		"id"

/* Rows that a page and the one before share, unless half a page is less. */
#define OVERLAP			10

/* Users read last that are remembered: the last may be deleted meanwhile. */
#define MARKS			3

/* Rows beyond which an offset or total is no number of users. */
#define ROWS_MAX		INT64_C(1000000000000)

/* What a cursor says: "offset overlap", then " length:id" for each mark. */
typedef struct NauthResume
{
	int64_t		offset;			/* rows to skip */
	int64_t		overlap;		/* rows behind these that were read before */
	int			marks;
	char		ids[MARKS][NAUTH_ID_MAX + 1];	/* latest first */
} NauthResume;

static void
add_mark(NauthResume *resume, const char *id)
{
	if (id[0] != '\0' && resume->marks < MARKS)
		memcpy(resume->ids[resume->marks++], id, strlen(id) + 1);
}

static void
write_cursor(const NauthResume *resume, char *cursor)
{
	int			used = snprintf(cursor, NAUTH_CURSOR_MAX, "%" PRId64 " %" PRId64,
								resume->offset, resume->overlap);

	for (int i = 0; i < resume->marks; i++)
		used += snprintf(cursor + used, NAUTH_CURSOR_MAX - used, " %zu:%s",
						 strlen(resume->ids[i]), resume->ids[i]);
}

/* Read digits and go behind them.  False when there are none or too many. */
static bool
read_number(const char **p, int64_t most, int64_t *number)
{
	const char *start = *p;

	for (*number = 0; **p >= '0' && **p <= '9' && *number <= most; (*p)++)
		*number = *number * 10 + (**p - '0');
	return *p > start && *number <= most;
}

/* Read a cursor.  Without one, the listing begins: no rows, no marks. */
static bool
read_cursor(const char *cursor, NauthResume *resume)
{
	const char *p = cursor;

	resume->offset = 0;
	resume->overlap = 0;
	resume->marks = 0;
	if (p == NULL)
		return true;
	if (!read_number(&p, ROWS_MAX, &resume->offset) || *p++ != ' ' ||
		!read_number(&p, ROWS_MAX, &resume->overlap))
		return false;
	while (*p == ' ' && resume->marks < MARKS)
	{
		char	   *id = resume->ids[resume->marks];
		int64_t		len;

		p++;
		if (!read_number(&p, NAUTH_ID_MAX, &len) || *p++ != ':' ||
			strnlen(p, len) < (size_t) len)
			return false;
		memcpy(id, p, len);
		id[len] = '\0';
		p += len;
		resume->marks++;
	}
	return *p == '\0' && resume->marks > 0;
}

static void
better_auth_write_request(const NauthSettings *settings,
						  const NauthQuery *query, const char *cursor,
						  NauthRequest *request)
{
	static const char *const paths[] = {
		[NAUTH_QUERY_LIST] = "/api/auth/admin/list-users",
		[NAUTH_QUERY_USER] = "/api/auth/admin/get-user",
		[NAUTH_QUERY_COUNT] = "/api/auth/admin/list-users"
	};
	NauthResume resume;

	nauth_request_begin(request, settings->url, paths[query->kind]);
	switch (query->kind)
	{
		case NAUTH_QUERY_LIST:
			if (!read_cursor(cursor, &resume))
				request->overflow = true;
			nauth_request_number(request, "limit", settings->page_size);
			nauth_request_number(request, "offset", resume.offset);
			nauth_request_parameter(request, "sortBy", SORT_MEMBER);
			nauth_request_parameter(request, "sortDirection", "asc");
			break;
		case NAUTH_QUERY_USER:
			nauth_request_parameter(request, "id", query->id);
			break;
		case NAUTH_QUERY_COUNT:
			nauth_request_number(request, "limit", 1);
			break;
	}
	nauth_request_header(request, "Authorization", "Bearer ", settings->api_key);
}

/*
 * Read what is around the users.  Users that nest too deep are found when they
 * are read themselves, so depth and numbers do not matter here.
 */
static bool
read_envelope(const NauthReply *reply, int64_t limit, NauthSpan *users,
			  int64_t *total, NauthError *error)
{
	static const char *const names[] = {"users", "total", "limit", NULL};
	NauthSpan	found[3];
	NauthSliceResult result = nauth_slice_object(reply->body, names, found);
	int64_t		echo;

	if (result == NAUTH_SLICE_SYNTAX || result == NAUTH_SLICE_TYPE ||
		result == NAUTH_SLICE_DUPLICATE)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page is no JSON object or is cut off");
	*users = found[0];
	if (nauth_slice_is_null(found[0]) ||
		!nauth_slice_int64(found[1], total) ||
		*total < 0 || *total > ROWS_MAX)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has no list of users or no total");
	if (nauth_slice_is_null(found[2]))
		return nauth_error_set(error, NAUTH_ERROR_UNAVAILABLE,
							   "the server answered an error of its own with an empty page");
	if (!nauth_slice_int64(found[2], &echo) || echo != limit)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page was made with another limit than asked for");
	return true;
}

/* How many users of a page were read before, or -1 when nobody knows. */
static int
count_known(const NauthResume *resume, const NauthPage *page)
{
	for (int mark = 0; mark < resume->marks; mark++)
	{
		for (int i = page->count; i > 0; i--)
		{
			if (strcmp(page->users[i - 1].id, resume->ids[mark]) == 0)
				return i;
		}
	}
	return resume->marks == 0 ? 0 : -1;
}

/* Ask for the same page again with more of what was read before. */
static bool
go_back(const NauthSettings *settings, NauthResume *resume, NauthPage *page,
		NauthError *error)
{
	int64_t		unread = resume->offset + resume->overlap;
	int64_t		widest = settings->page_size - 1;

	if (widest > unread)
		widest = unread;
	if (resume->overlap >= widest)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the directory shifted while it was read");
	resume->overlap *= 2;
	if (resume->overlap > widest)
		resume->overlap = widest;
	resume->offset = unread - resume->overlap;
	write_cursor(resume, page->next);
	page->count = 0;
	page->reread = true;
	return true;
}

/* Write the cursor of the page behind a full one. */
static bool
go_on(const NauthSettings *settings, NauthResume *resume, NauthPage *page,
	  NauthError *error)
{
	NauthResume next;

	next.overlap = settings->page_size / 2;
	if (next.overlap > OVERLAP)
		next.overlap = OVERLAP;
	next.offset = resume->offset + settings->page_size - next.overlap;
	next.marks = 0;
	for (int i = page->count - 1; i >= 0; i--)
		add_mark(&next, page->users[i].id);
	for (int i = 0; i < resume->marks; i++)
		add_mark(&next, resume->ids[i]);
	if (next.marks == 0)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "no user of a page has an id to continue from");
	write_cursor(&next, page->next);
	return true;
}

static bool
better_auth_read_page(const NauthSettings *settings, const char *cursor,
					  const NauthReply *reply, NauthPage *page,
					  NauthError *error)
{
	NauthResume resume;
	NauthSpan	users;
	int			received;
	int			known;

	nauth_read_begin(page);
	if (!read_cursor(cursor, &resume))
		return nauth_error_set(error, NAUTH_ERROR_REQUEST,
							   "the cursor of the listing is damaged");
	if (!read_envelope(reply, settings->page_size, &users, &page->total, error) ||
		!nauth_read_users(&nauth_provider_better_auth, users, page, error))
		return false;
	received = page->count;
	if (received > settings->page_size)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has more users than were asked for");

	known = count_known(&resume, page);
	if (known < 0)
		return go_back(settings, &resume, page, error);
	page->count -= known;
	memmove(page->users, page->users + known,
			(size_t) page->count * sizeof(NauthUser));

	page->last = resume.offset + received >= page->total;
	if (page->last)
		return true;
	if (received < settings->page_size)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "a page ended before the total that it names");
	return go_on(settings, &resume, page, error);
}

static bool
better_auth_read_count(const NauthReply *reply, int64_t *count,
					   NauthError *error)
{
	NauthSpan	users;

	return read_envelope(reply, 1, &users, count, error);
}

const NauthProvider nauth_provider_better_auth = {
	.name = "better_auth",
	.url = NULL,
	.page_size = 200,
	.min_page_size = 2,
	.max_page_size = 500,
	.retry_header = "X-Retry-After",
	.error_path = "code",
	.not_found_status = 404,
	.not_found_code = "USER_NOT_FOUND",
	.columns = {
		.id = "id",
		.name = {{.kind = NAUTH_RULE_MEMBER,.a = "name"}},
		.email = {{.kind = NAUTH_RULE_MEMBER,.a = "email"}},
		.created_at = {"createdAt", NAUTH_MOMENT_RFC3339},
		.updated_at = {"updatedAt", NAUTH_MOMENT_RFC3339}
	},
	.write_request = better_auth_write_request,
	.read_page = better_auth_read_page,
	.read_count = better_auth_read_count
};
