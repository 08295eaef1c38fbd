/*-------------------------------------------------------------------------
 *
 * id_list.h
 *	  Lists of users, by id.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_ID_LIST_H
#define NAUTH_ID_LIST_H

/*
 * Ids in the order in which they came, with a note for each: constant or palloc'd, or
 * NULL.  What the notes are, whoever has the list says.  All zeros is an empty list.
 */
typedef struct NauthIdList
{
	int			count;
	int			size;
	char	  **ids;
	const char **notes;
} NauthIdList;

/* Add a copy of the id, in this memory context, and the note as it is. */
extern void nauth_id_list_add(NauthIdList *list, MemoryContext cxt,
							  const char *id, const char *note);

/* Sort a list without notes by strcmp; position of an id in such a list, or -1. */
extern void nauth_id_list_sort(NauthIdList *list);
extern int	nauth_id_list_find(const NauthIdList *list, const char *id);

#endif							/* NAUTH_ID_LIST_H */
