/*-------------------------------------------------------------------------
 *
 * generic.h
 *	  A directory of one's own, as options describe it: what its files share.
 *
 * generic.c asks and reads, generic_options.c tells what the options mean and
 * which of them do not go together, generic_pages.c pages by numbers and offsets,
 * generic_cursor.c by cursors and links, of which generic_counter.c finds those that
 * only count, and generic_count.c compares with the total.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_GENERIC_H
#define NAUTH_GENERIC_H

#include "offset.h"

/* In the place of the id in option user_path. */
#define NAUTH_GENERIC_ID	"{id}"

typedef enum NauthGenericPaging
{
	NAUTH_GENERIC_WHOLE,		/* all users in one reply */
	NAUTH_GENERIC_NUMBERED,
	NAUTH_GENERIC_OFFSET,
	NAUTH_GENERIC_CURSOR,
	NAUTH_GENERIC_LINK
} NauthGenericPaging;

/* ---- generic.c */

/* Write a parameter whose name may have brackets, which are not of a URL. */
extern void nauth_generic_write_parameter(NauthRequest *request, const char *name, const char *value);
extern void nauth_generic_write_number(NauthRequest *request, const char *name, int64_t number);

/* ---- generic_options.c */

extern NauthGenericPaging nauth_generic_paging(const NauthSettings *settings);

/* What the number, offset or cursor of a page is named. */
extern const char *nauth_generic_page_parameter(const NauthSettings *settings);

/* What the size of a page is named; NULL: it is not sent. */
extern const char *nauth_generic_size_parameter(const NauthSettings *settings);

/* Whether an option, which has a few values, has this one. */
extern bool nauth_generic_is(const NauthSettings *settings, NauthSetting option, const char *value);

/* As NauthProvider has them. */
extern void nauth_generic_adapt(const NauthSettings *settings, NauthProvider *copy);
extern const char *nauth_generic_refuse(const NauthSettings *settings, const char **hint);

/* ---- generic_count.c */

/* What a listing has shown, and what it says that there is. */
typedef struct NauthGenericCount
{
	int64_t		read;			/* users that were listed */
	int64_t		total;			/* of the latest page, -1 if it has none */
	bool		moved;			/* another page had another one */
}			NauthGenericCount;

/* Note the total of a page. */
extern void nauth_generic_note_total(NauthGenericCount * count, int64_t total);

/* Whether these can be all users, as far as the total tells. */
extern bool nauth_generic_is_all(const NauthGenericCount * count);

/* Whether these are more than there can be: the listing runs in a circle. */
extern bool nauth_generic_is_more(const NauthGenericCount * count);

/* ---- generic_pages.c */

/* Which page is to be read, and what was read before; its cursor says the latter. */
typedef struct NauthGenericPlace
{
	NauthGenericCount count;
	int			tries;			/* requests since somebody new was read */
	bool		close;			/* a page of a few rows, to see whether
								 * anybody is behind the last one */
	NauthOffset offset;
	int			limit;			/* rows of a page otherwise */
	int64_t		start;			/* row that it begins at */
	int64_t		number;			/* of the page, from 0 on */
	int			size;			/* rows to ask for; 0: no page begins as it
								 * has to */
} NauthGenericPlace;

/*
 * Read a cursor, NULL being where a listing begins, and choose the page.  False if
 * it is damaged.
 */
extern bool nauth_generic_aim(const NauthSettings *settings, const char *cursor, int limit,
							  NauthGenericPlace *place);

/*
 * Leave on a page who was not read before, and finish it: the last, or with a
 * cursor, or to be read again.
 */
extern bool nauth_generic_take(const NauthSettings *settings, NauthGenericPlace *place,
							   NauthPage *page, NauthError *error);

/* ---- generic_cursor.c */

/* Whether this can be a cursor of cursor paging, or of links. */
extern bool nauth_generic_is_cursor(const NauthSettings *settings, const char *cursor);

/* Write the request of a page: the address of the users, or where a link leads. */
extern void nauth_generic_write_cursor(const NauthSettings *settings, const char *cursor, int limit,
									   NauthRequest *request);

/* The query of a URL, '?' included, if the cursor is one: it has all that the request needs. */
extern const char *nauth_generic_query(const char *cursor);

/* Finish a page by the cursor in its body, or by its header Link. */
extern bool nauth_generic_follow(const NauthSettings *settings, const char *cursor, int limit,
								 const NauthReply *reply, NauthPage *page, NauthError *error);

/* ---- generic_counter.c */

/*
 * Whether the query of the URL of the next page only counts; and the cursor in
 * page->next.  before is that of this page, or NULL on the first one.
 */
extern bool nauth_generic_counts_query(const NauthSettings *settings, const char *before, const char *query);
extern bool nauth_generic_counts(const NauthSettings *settings, const char *before, const NauthPage *page);

#endif							/* NAUTH_GENERIC_H */
