/*-------------------------------------------------------------------------
 *
 * id_list.c
 *	  Lists of users, by id.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sync/id_list.h"

void
nauth_id_list_add(NauthIdList *list, MemoryContext cxt, const char *id, const char *note)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);

	if (list->count == list->size)
	{
		int			size = Max(64, list->size * 2);

		list->ids = list->ids ? repalloc_huge(list->ids, size * sizeof(char *)) :
			palloc(size * sizeof(char *));
		list->notes = list->notes ? repalloc_huge(list->notes, size * sizeof(char *)) :
			palloc(size * sizeof(char *));
		list->size = size;
	}
	list->ids[list->count] = pstrdup(id);
	list->notes[list->count++] = note;
	MemoryContextSwitchTo(old);
}

static int
compare_ids(const void *id, const void *element)
{
	return strcmp(id, *(const char *const *) element);
}

static int
compare_elements(const void *a, const void *b)
{
	return compare_ids(*(const char *const *) a, b);
}

void
nauth_id_list_sort(NauthIdList *list)
{
	if (list->count > 1)
		qsort(list->ids, list->count, sizeof(char *), compare_elements);
}

int
nauth_id_list_find(const NauthIdList *list, const char *id)
{
	char	  **found = list->count > 0 ?
	bsearch(id, list->ids, list->count, sizeof(char *), compare_ids) : NULL;

	return found ? found - list->ids : -1;
}
