/*-------------------------------------------------------------------------
 *
 * blame.h
 *	  Errors that single users of a batch are to blame for.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_BLAME_H
#define NAUTH_BLAME_H

/* Whether an error says that a value cannot be held. */
extern bool nauth_blame_value(const ErrorData *error);

/* Whether an error can be about a single user, and not about writing as such. */
extern bool nauth_blame_user(const ErrorData *error);

/*
 * Raise the error that a user met with, under its SQLSTATE.  act says what
 * could not be done, with the user's id and the table.
 */
extern _Noreturn void nauth_blame_raise(const char *act, const ErrorData *error);

#endif							/* NAUTH_BLAME_H */
