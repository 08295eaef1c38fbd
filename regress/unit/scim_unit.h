/*-------------------------------------------------------------------------
 *
 * scim_unit.h
 *	  What services say of themselves in unit tests of the provider "scim".
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SCIM_UNIT_H
#define NAUTH_SCIM_UNIT_H

#include "provider_unit.h"

#define SCIM		(&nauth_provider_scim)
#define CONFIG_URL	"https://auth.example.com/ServiceProviderConfig"

typedef struct ConfigCase
{
	const char *json;
	const char *next;			/* where a listing goes on, and one of changes */
	const char *since;
	const char *name;
}			ConfigCase;

#define NOTHING		"is0 1 0 ", "tsf0 1 0 "

static const ConfigCase config_cases[] = {
	{"{\"pagination\":{\"cursor\":true,\"index\":true}}", "csc0 1 0 ", "tsfc0 1 0 ", "it has cursors"},
	{"{\"pagination\":{\"cursor\":true,\"index\":false}}", "csco0 1 0 ", "tsfco0 1 0 ", "and nothing else"},
	{"{\"pagination\":{\"cursor\":true}}", "csc0 1 0 ", "tsfc0 1 0 ", "or does not say that"},
	{"{\"pagination\":{\"cursor\":false,\"index\":true}}", NOTHING, "it has none"},
	{"{\"pagination\":{\"cursor\":false,\"index\":false}}", NOTHING, "or no pages at all"},
	{"{\"pagination\":{\"cursor\":\"true\",\"index\":1}}", NOTHING, "texts and numbers"},
	{"{\"pagination\":{\"cursor\":[true]}}", NOTHING, "a list"},
	{"{\"pagination\":{\"cursor\":true,\"cursor\":false}}", NOTHING, "one thing and the other"},
	{"{\"pagination\":[{\"cursor\":true}]}", NOTHING, "a list of them"},
	{"{\"pagination\":true,\"sort\":false,\"filter\":false}", NOTHING, "no objects"},
	{"{\"pagination\":null,\"sort\":null,\"filter\":null}", NOTHING, "nothing"},
	{"{\"cursor\":true,\"supported\":false,\"maxResults\":5}", NOTHING, "in another place"},
	{"{\"sort\":{\"supported\":false}}", "iu0 1 0 ", "tfu0 1 0 ", "it does not sort"},
	{"{\"sort\":{\"supported\":true}}", NOTHING, "it sorts"},
	{"{\"sort\":{\"supported\":\"false\"}}", NOTHING, "or says something else"},
	{"{\"sort\":{\"supported\":0}}", NOTHING, "as a number"},
	{"{\"filter\":{\"supported\":false,\"maxResults\":0}}", "is0 1 0 ", "is0 1 0 ", "it does not filter"},
	{"{\"filter\":{\"supported\":true,\"maxResults\":0}}", NOTHING, "it filters"},
	{"{\"filter\":{\"supported\":null}}", NOTHING, "or does not say"},
	{"{\"filter\":{\"supported\":true,\"maxResults\":50}}", "isp51 0 1 0 ", "tsfp51 0 1 0 ", "not that many"},
	{"{\"pagination\":{\"maxPageSize\":50}}", "isp51 0 1 0 ", "tsfp51 0 1 0 ", "in a page"},
	{"{\"pagination\":{\"maxPageSize\":50},\"filter\":{\"maxResults\":20}}", "isp21 0 1 0 ", "tsfp21 0 1 0 ", "the least of both"},
	{"{\"pagination\":{\"maxPageSize\":20},\"filter\":{\"maxResults\":50}}", "isp21 0 1 0 ", "tsfp21 0 1 0 ", "whichever it is"},
	{"{\"pagination\":{\"maxPageSize\":1}}", "isp3 0 1 0 ", "tsfp3 0 1 0 ", "pages of one user would lead nowhere"},
	{"{\"pagination\":{\"maxPageSize\":999}}", "isp1000 0 1 0 ", "tsfp1000 0 1 0 ", "many"},
	{"{\"pagination\":{\"maxPageSize\":1000}}", NOTHING, "as many as ever are asked for"},
	{"{\"pagination\":{\"maxPageSize\":0}}", NOTHING, "nobody"},
	{"{\"pagination\":{\"maxPageSize\":-1}}", NOTHING, "less than nobody"},
	{"{\"pagination\":{\"maxPageSize\":\"50\"}}", NOTHING, "a text"},
	{"{\"pagination\":{\"maxPageSize\":5e1}}", NOTHING, "no plain number"},
	{"{\"pagination\":{\"maxPageSize\":99999999999999999999}}", NOTHING, "an absurd one"},
	{"{\"pagination\":{\"cursor\":true,\"index\":false,\"maxPageSize\":50},\"sort\":{\"supported\":false},\"filter\":{\"supported\":false,\"maxResults\":200}}",
	"ccoup51 0 1 0 ", "ccoup51 0 1 0 ", "all together"},
	{"{}", NOTHING, "an empty object"},
	{"[]", NOTHING, "none"},
	{"", NOTHING, "no reply"},
	{"<html></html>", NOTHING, "a page of the web"},
	{"{\"sort\":{\"supported\":false}", NOTHING, "half a reply"},
	{"{\"sort\":{\"supported\":false}} x", NOTHING, "one with a rest"},
	{"{\"sort\":{\"supported\":false},\"sort\":{\"supported\":false}}", NOTHING, "twice the same"}
};

#endif							/* NAUTH_SCIM_UNIT_H */
