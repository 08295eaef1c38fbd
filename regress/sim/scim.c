/*-------------------------------------------------------------------------
 *
 * scim.c
 *		The users of a service of SCIM 2.0, strictly.
 *
 * Services differ in what they can do and in what they do wrong, so most of it is a
 * setting.  Stricter than RFC 7644, unknown parameters are refused; what it has but
 * this file has not is answered 501.  Which users a list has is in scim_list.c.
 *
 *	--set paging=WHICH	index (default), cursor, or both, where it is index unless
 *						a cursor is asked for; deaf: index even then
 *	--set cap=N			no page has more users
 *	--set most=N		to ask for more users is refused (400)
 *	--set sort=WHICH	on (default), ignored, refused (400), missing (501)
 *	--set order=moving	who is not sorted has another order in each reply; by
 *						default it is that of creation
 *	--set filters=WHICH	on (default), off (400), missing (501), ignored, nothing
 *						(nobody is found), many (400 for a page, though they are
 *						counted), text (times are compared as they are written)
 *	--set zero=refused	a count of 0 is (400)
 *	--set past_end=all	a page that would begin behind the end is the first one
 *	--set zone=+hh:mm	how times are written; Z by default
 *	--set times=WHICH	whose lastModified is shown: all (default), some, none
 *	--set total=WHICH	right (default), page (of the page), none (with a cursor)
 *	--set config=WHICH	right (default), missing (404)
 *	--set says_cursor=B, says_index=B, says_sort=B, says_filter=B
 *						true or false: what it has there of paging, sorting and
 *						filters; by default what the settings above make true
 *	--set says_most=N	maxPageSize; not told by default
 *	--set says_results=N	maxResults of filters; 1000 by default
 *
 * States: "inactive"; "untimed", whose lastModified is not shown.
 *
 * Tricks of a list:
 *
 *	expired, forgotten	the cursor is (400)
 *	lost_cursor			the reply has no nextCursor, whoever is left
 *	long_cursor			a nextCursor that is too long
 *	no_resources		the list of users is missing
 *	no_total			the total is missing
 *	bad_total			the total is a text
 *	extra				one user more than was asked for
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "scim.h"

#define BASE "/scim/v2"
#define USERS BASE "/Users"
#define CONFIG BASE "/ServiceProviderConfig"
#define MINUTE_MS 60000

static const char *const settings[] = {
	"paging", "cap", "most", "sort", "order", "filters", "zero", "past_end",
	"zone", "times", "total", "config", "says_cursor", "says_index", "says_sort",
	"says_filter", "says_most", "says_results", NULL
};

/* ---- errors ---- */

bool
sim_scim_error(SimReply *reply, int status, const char *type,
			   const char *detail)
{
	reply->status = status;
	reply->content_type = "application/scim+json";
	reply->rejected = status != 404;
	reply->body.len = 0;
	SIM_LITERAL(&reply->body, "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:Error\"]");
	sim_buf_printf(&reply->body, ",\"status\":\"%d\"", status);
	if (type)
		sim_buf_printf(&reply->body, ",\"scimType\":\"%s\"", type);
	SIM_LITERAL(&reply->body, ",\"detail\":");
	sim_buf_string(&reply->body, detail);
	SIM_LITERAL(&reply->body, "}");
	return false;
}

static void
fail_with(int status, SimReply *reply)
{
	sim_scim_error(reply, status, NULL, "the request could not be answered");
	reply->rejected = false;
}

/* ---- a user ---- */

/* A time as the service writes it, without quotes. */
static void
put_time(SimBuf *buf, int64_t time)
{
	const char *zone = sim_setting("zone");
	int			hours;
	int			minutes;

	if (zone == NULL || sscanf(zone + 1, "%2d:%2d", &hours, &minutes) != 2)
	{
		sim_buf_iso(buf, time);
		return;
	}
	minutes += hours * 60;
	sim_buf_iso(buf, time + (*zone == '-' ? -1 : 1) * (int64_t) minutes * MINUTE_MS);
	buf->len--;					/* the Z */
	sim_buf_text(buf, zone);
}

bool
sim_scim_changed(const SimUser *user, char *text)
{
	SimBuf		buf = {0};

	if (sim_user_has_state(user, "untimed") || sim_setting_is("times", "none") ||
		(sim_setting_is("times", "some") && user->index % 3 == 0))
		return false;
	put_time(&buf, user->updated);
	snprintf(text, SIM_SCIM_TIME, "%.*s", (int) buf.len, buf.data);
	sim_buf_free(&buf);
	return true;
}

static void
put_emails(SimBuf *buf, const SimPerson *person)
{
	if (person->n_emails == 0)
		return;
	SIM_LITERAL(buf, ",\"emails\":[");
	for (int i = 0; i < person->n_emails; i++)
	{
		SIM_LITERAL(buf, "{");
		sim_buf_optional(buf, "value", person->emails[i]);
		sim_buf_optional(buf, "type", i == 0 ? "work" : "home");
		sim_buf_printf(buf, "%s}%s", i == person->primary ? ",\"primary\":true" : "",
					   i < person->n_emails - 1 ? "," : "");
	}
	SIM_LITERAL(buf, "]");
}

static void
put_meta(SimBuf *buf, const SimUser *user, const char *id)
{
	char		changed[SIM_SCIM_TIME];

	SIM_LITERAL(buf, ",\"meta\":{\"resourceType\":\"User\",\"created\":\"");
	put_time(buf, user->created);
	SIM_LITERAL(buf, "\"");
	if (sim_scim_changed(user, changed))
		sim_buf_optional(buf, "lastModified", changed);
	sim_buf_printf(buf, ",\"location\":\"https://sim.example.com" USERS "/%s\"}", id);
}

void
sim_scim_put_user(SimBuf *buf, const SimUser *user)
{
	SimPerson	person;
	char		id[SIM_ID_SIZE];

	sim_generate_person(user, &person);
	sim_users_id(user, id);
	SIM_LITERAL(buf, "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"id\":");
	sim_buf_string(buf, id);
	sim_buf_optional(buf, "userName", person.username ? person.username :
					 person.n_emails > 0 ? person.emails[0] : id);
	if (person.first || person.last)
	{
		SIM_LITERAL(buf, ",\"name\":{");
		sim_buf_optional(buf, "givenName", person.first);
		sim_buf_optional(buf, "familyName", person.last);
		SIM_LITERAL(buf, "}");
	}
	if (!person.plain && person.hash % 8 == 0)
		sim_buf_optional(buf, "displayName", person.username ? person.username : person.first);
	put_emails(buf, &person);
	sim_buf_printf(buf, ",\"active\":%s", sim_user_has_state(user, "inactive") ? "false" : "true");
	put_meta(buf, user, id);
	SIM_LITERAL(buf, "}");
}

/* ---- routes ---- */

static SimKind
classify(const SimRequest *request)
{
	const char *rest = request->path + strlen(USERS);
	const char *count = sim_request_param(request, "count");
	bool		counts = count && strcmp(count, "1") == 0 && !sim_request_param(request, "sortBy") &&
	!sim_request_param(request, "startIndex") && !sim_request_param(request, "cursor");

	if (strcmp(request->method, "GET") != 0 ||
		strncmp(request->path, USERS, strlen(USERS)) != 0)
		return SIM_OTHER;
	if (*rest == '\0' && (counts || (count && strcmp(count, "0") == 0)))
		return sim_request_param(request, "filter") ? SIM_OTHER : SIM_COUNT;
	if (*rest == '\0')
		return SIM_LIST;
	return *rest == '/' && rest[1] != '\0' && strchr(rest + 1, '/') == NULL ?
		SIM_GET : SIM_OTHER;
}

static void
answer_get(SimRequest *request, SimReply *reply)
{
	const char *id = request->path + strlen(USERS "/");
	SimBuf		detail = {0};
	SimUser		user;

	if (request->n_params > 0)
		sim_scim_error(reply, 400, "invalidSyntax", "unknown parameter");
	else if (sim_users_find_live(id, &user))
		sim_users_put(&reply->body, &user);
	else
	{
		sim_buf_printf(&detail, "Resource %s not found", id);
		sim_scim_error(reply, 404, NULL, detail.data);
		sim_buf_free(&detail);
	}
}

/* What it says of something that it has or not. */
static const char *
says(const char *setting, bool truth)
{
	return sim_setting_or(setting, truth ? "true" : "false");
}

static void
answer_config(const SimRequest *request, SimReply *reply)
{
	bool		cursors = sim_setting_is("paging", "cursor");
	const char *sort = sim_setting("sort");
	const char *most = sim_setting("says_most");
	const char *results = sim_setting("says_results");
	bool		filters = !sim_setting_is("filters", "off") && !sim_setting_is("filters", "missing");

	if (request->n_params > 0)
		sim_scim_error(reply, 403, NULL, "it cannot be filtered");
	else if (sim_setting_is("config", "missing"))
	{
		sim_scim_error(reply, 404, NULL, "no such endpoint");
		reply->rejected = false;
	}
	else
		sim_buf_printf(&reply->body, "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig\"],"
					   "\"patch\":{\"supported\":false},\"pagination\":{\"cursor\":%s,\"index\":%s%s%s},"
					   "\"filter\":{\"supported\":%s,\"maxResults\":%s},\"sort\":{\"supported\":%s},\"etag\":{\"supported\":false}}",
					   says("says_cursor", cursors || sim_setting_is("paging", "both")), says("says_index", !cursors),
					   most ? ",\"maxPageSize\":" : "", most ? most : "",
					   says("says_filter", filters), results ? results : "1000",
					   says("says_sort", sort == NULL || strcmp(sort, "on") == 0));
}

static void
answer(SimRequest *request, SimReply *reply)
{
	const char *accept = sim_request_header(request, "Accept");

	reply->status = 200;
	reply->content_type = "application/scim+json";
	if (!sim_request_authorized(request))
		sim_scim_error(reply, 401, NULL, "Authorization failed");
	else if (request->malformed)
		sim_scim_error(reply, 400, "invalidSyntax", "the target cannot be decoded");
	else if (accept == NULL || strcmp(accept, "application/scim+json") != 0)
		sim_scim_error(reply, 406, NULL, "application/scim+json is all there is");
	else if (request->kind == SIM_GET)
		answer_get(request, reply);
	else if (strcmp(request->path, CONFIG) == 0 && strcmp(request->method, "GET") == 0)
		answer_config(request, reply);
	else if (strcmp(request->path, USERS) == 0 && strcmp(request->method, "GET") == 0)
		sim_scim_list(request, reply);
	else
	{
		sim_scim_error(reply, 404, NULL, "no such endpoint");
		reply->rejected = true;
	}
}

const SimProvider sim_scim = {
	.name = "scim",
	.id_prefix = "",
	.id_form = SIM_ID_UUID,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = sim_scim_put_user,
	.settings = settings
};
