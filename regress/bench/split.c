/*-------------------------------------------------------------------------
 *
 * split.c
 *		How long it takes to split pages of Clerk into users, with the
 *		extension's own fdw/slice.c and with nothing around it.
 *
 *	split FILE...			prints the seconds for all pages, each of which has
 *							just come into memory, as from a network
 *	split --users FILE...	writes the users instead, each on a line, as they
 *							are in the pages
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "slice.h"

/* The members that a refresh looks for in a user of Clerk. */
static const char *const names[] = {"id", "updated_at", "created_at", NULL};

static void
die(const char *what, const char *file)
{
	fprintf(stderr, "split: %s: %s\n", file, what);
	exit(1);
}

/* The bytes of a file, in a buffer that the next one takes over. */
static NauthSpan
read_file(const char *name)
{
	static char *data;
	static size_t size;
	FILE	   *file = fopen(name, "rb");
	long		len;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (len = ftell(file)) < 0)
		die("cannot be read", name);
	rewind(file);
	if ((size_t) len >= size)
	{
		free(data);
		size = (size_t) len * 2 + 1;
		data = malloc(size);
	}
	if (data == NULL || fread(data, 1, (size_t) len, file) != (size_t) len)
		die("cannot be read", name);
	fclose(file);
	return (NauthSpan)
	{
		.data = data,.len = (size_t) len
	};
}

/* Split a page; returns how many users it has. */
static int
split(NauthSpan page, const char *name, FILE *users)
{
	NauthSlicer slicer;
	NauthSpan	user;
	NauthSpan	found[3];
	int			count = 0;
	NauthSliceResult result = nauth_slice_array(&slicer, page);

	while (result == NAUTH_SLICE_OK &&
		   (result = nauth_slice_next(&slicer, names, &user, found)) == NAUTH_SLICE_OK)
	{
		count++;
		if (users != NULL && (fwrite(user.data, 1, user.len, users) != user.len || putc('\n', users) == EOF))
			die("users cannot be written", name);
	}
	if (result != NAUTH_SLICE_END)
		die("is no page of users", name);
	return count;
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	FILE	   *users = argc > 1 && strcmp(argv[1], "--users") == 0 ? stdout : NULL;
	double		seconds = 0;
	int			count = 0;

	for (int i = users != NULL ? 2 : 1; i < argc; i++)
	{
		NauthSpan	page = read_file(argv[i]);
		double		begin = now();

		count += split(page, argv[i], users);
		seconds += now() - begin;
	}
	if (users == NULL)
		printf("%.6f seconds, %d users\n", seconds, count);
	return fflush(stdout) == 0 ? 0 : 1;
}
