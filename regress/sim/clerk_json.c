/*-------------------------------------------------------------------------
 *
 * clerk_json.c
 *		A user as Clerk writes it, about 2.7 kB of JSON.
 *
 * Everything not in the person comes from bits of its hash.  Values in the
 * tables of generate.c need no escaping, but those of a test may, so names,
 * user names and e-mails are always written escaped.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "clerk.h"

#define DAY_MS INT64_C(86400000)

/* What identifiers are derived from, so that references between them agree. */
enum
{
	TOKEN_EMAIL = 0,			/* one more for each e-mail */
	TOKEN_PHONE = 16,
	TOKEN_ACCOUNT,
	TOKEN_ACCOUNT_IDENTIFICATION,
	TOKEN_IMAGE,
	TOKEN_PICTURE
};

typedef struct Writer
{
	SimBuf	   *buf;
	const SimUser *user;
	const SimPerson *person;
	uint64_t	more;			/* a second hash, for choices made here */
	bool		google;			/* signs in with an account at Google */
	bool		phone;
} Writer;

static void
put_token(Writer *w, const char *prefix, uint64_t which)
{
	SIM_LITERAL(w->buf, "\"");
	sim_buf_text(w->buf, prefix);
	sim_generate_token(w->buf, w->person->hash + which * 1000003, 27);
	SIM_LITERAL(w->buf, "\"");
}

static void
put_bool(SimBuf *buf, bool value)
{
	if (value)
		SIM_LITERAL(buf, "true");
	else
		SIM_LITERAL(buf, "false");
}

static void
put_times(Writer *w)
{
	SIM_LITERAL(w->buf, ",\"created_at\":");
	sim_buf_int(w->buf, w->user->created);
	SIM_LITERAL(w->buf, ",\"updated_at\":");
	sim_buf_int(w->buf, w->user->updated);
}

static void
put_image(Writer *w, const char *name, uint64_t which)
{
	SIM_LITERAL(w->buf, ",\"");
	sim_buf_text(w->buf, name);
	SIM_LITERAL(w->buf, "\":\"https://img.clerk.com/");
	sim_generate_token(w->buf, w->person->hash + which, 84);
	SIM_LITERAL(w->buf, "\"");
}

static void
put_email(Writer *w, int i)
{
	bool		linked = w->google && i == 0;

	SIM_LITERAL(w->buf, "{\"id\":");
	put_token(w, "idn_", TOKEN_EMAIL + (uint64_t) i);
	SIM_LITERAL(w->buf, ",\"object\":\"email_address\",\"email_address\":");
	sim_buf_string(w->buf, w->person->emails[i]);
	SIM_LITERAL(w->buf, ",\"reserved\":false,\"verification\":");
	if (i != w->person->primary && (w->more >> i) % 4 == 0)
		SIM_LITERAL(w->buf, "null");
	else if (linked)
		SIM_LITERAL(w->buf, "{\"object\":\"verification_oauth\","
					"\"status\":\"verified\",\"strategy\":"
					"\"from_oauth_google\",\"attempts\":null,"
					"\"expire_at\":null}");
	else
	{
		SIM_LITERAL(w->buf, "{\"object\":\"verification_otp\","
					"\"status\":\"verified\",\"strategy\":\"email_code\","
					"\"attempts\":1,\"expire_at\":");
		sim_buf_int(w->buf, w->user->created + 600000);
		SIM_LITERAL(w->buf, "}");
	}
	SIM_LITERAL(w->buf, ",\"linked_to\":[");
	if (linked)
	{
		SIM_LITERAL(w->buf, "{\"type\":\"oauth_google\",\"id\":");
		put_token(w, "idn_", TOKEN_ACCOUNT_IDENTIFICATION);
		SIM_LITERAL(w->buf, "}");
	}
	SIM_LITERAL(w->buf, "],\"matches_sso_connection\":false");
	put_times(w);
	SIM_LITERAL(w->buf, "}");
}

static void
put_emails(Writer *w)
{
	SIM_LITERAL(w->buf, ",\"email_addresses\":[");
	for (int i = 0; i < w->person->n_emails; i++)
	{
		if (i > 0)
			SIM_LITERAL(w->buf, ",");
		put_email(w, i);
	}
	SIM_LITERAL(w->buf, "]");
}

static void
put_phones(Writer *w)
{
	SIM_LITERAL(w->buf, ",\"phone_numbers\":[");
	if (w->phone)
	{
		SIM_LITERAL(w->buf, "{\"id\":");
		put_token(w, "idn_", TOKEN_PHONE);
		SIM_LITERAL(w->buf, ",\"object\":\"phone_number\",\"phone_number\":"
					"\"+1555");
		sim_buf_int(w->buf, 1000000 + w->user->index % 9000000);
		SIM_LITERAL(w->buf, "\",\"reserved_for_second_factor\":false,"
					"\"default_second_factor\":false,\"reserved\":false,"
					"\"verification\":{\"object\":\"verification_otp\","
					"\"status\":\"verified\",\"strategy\":\"phone_code\","
					"\"attempts\":1,\"expire_at\":");
		sim_buf_int(w->buf, w->user->created + 600000);
		SIM_LITERAL(w->buf, ",\"channel\":\"sms\"},\"linked_to\":[],"
					"\"backup_codes\":null");
		put_times(w);
		SIM_LITERAL(w->buf, "}");
	}
	SIM_LITERAL(w->buf, "]");
}

static void
put_account(Writer *w)
{
	SIM_LITERAL(w->buf, "{\"object\":\"google_account\",\"id\":");
	put_token(w, "eac_", TOKEN_ACCOUNT);
	SIM_LITERAL(w->buf, ",\"provider\":\"oauth_google\","
				"\"identification_id\":");
	put_token(w, "idn_", TOKEN_ACCOUNT_IDENTIFICATION);
	SIM_LITERAL(w->buf, ",\"provider_user_id\":\"1");
	sim_buf_int(w->buf, INT64_C(10000000000000000) +
				(int64_t) (w->more >> 12));
	SIM_LITERAL(w->buf, "\",\"approved_scopes\":\"email "
				"https://www.googleapis.com/auth/userinfo.email "
				"https://www.googleapis.com/auth/userinfo.profile openid "
				"profile\",\"email_address\":");
	sim_buf_string(w->buf, w->person->emails[0]);
	SIM_LITERAL(w->buf, ",\"first_name\":");
	sim_buf_string(w->buf, w->person->first);
	SIM_LITERAL(w->buf, ",\"last_name\":");
	sim_buf_string(w->buf, w->person->last);
	SIM_LITERAL(w->buf, ",\"avatar_url\":"
				"\"https://lh3.googleusercontent.com/a/");
	sim_generate_token(w->buf, w->more, 48);
	SIM_LITERAL(w->buf, "=s96-c\"");
	put_image(w, "image_url", TOKEN_PICTURE);
	SIM_LITERAL(w->buf, ",\"username\":null,\"phone_number\":null,"
				"\"public_metadata\":{},\"label\":null");
	put_times(w);
	SIM_LITERAL(w->buf, ",\"verification\":{\"object\":"
				"\"verification_oauth\",\"status\":\"verified\","
				"\"strategy\":\"oauth_google\",\"attempts\":null,"
				"\"expire_at\":");
	sim_buf_int(w->buf, w->user->created + 600000);
	SIM_LITERAL(w->buf, ",\"error\":null}}");
}

static void
put_metadata(Writer *w)
{
	static const char *const plans[] = {"free", "pro", "team", "enterprise"};
	static const char *const sources[] = {"search", "friend", "newsletter",
	"conference"};

	if (w->person->plain)
	{
		SIM_LITERAL(w->buf, ",\"public_metadata\":{},"
					"\"private_metadata\":{},\"unsafe_metadata\":{}");
		return;
	}
	SIM_LITERAL(w->buf, ",\"public_metadata\":{\"plan\":\"");
	sim_buf_text(w->buf, plans[w->more % 4]);
	SIM_LITERAL(w->buf, "\",\"seats\":");
	sim_buf_int(w->buf, (int64_t) ((w->more >> 2) % 50));
	SIM_LITERAL(w->buf, ",\"roles\":[\"member\",\"editor\"],\"features\":"
				"{\"beta\":");
	put_bool(w->buf, (w->more >> 8) % 2);
	SIM_LITERAL(w->buf, ",\"quota\":");
	sim_buf_int(w->buf, (int64_t) ((w->more >> 9) % 1000) * 1000);
	SIM_LITERAL(w->buf, "}},\"private_metadata\":{\"customer\":\"cus_");
	sim_generate_token(w->buf, w->more + 1, 14);
	SIM_LITERAL(w->buf, "\",\"score\":0.");
	sim_buf_int(w->buf, (int64_t) (1 + (w->more >> 19) % 99));
	SIM_LITERAL(w->buf, "},\"unsafe_metadata\":{\"source\":\"");
	sim_buf_text(w->buf, sources[(w->more >> 26) % 4]);
	SIM_LITERAL(w->buf, "\",\"onboarded\":");
	put_bool(w->buf, (w->more >> 28) % 8 != 0);
	SIM_LITERAL(w->buf, "}");
}

static void
put_head(Writer *w)
{
	const SimPerson *person = w->person;
	char		id[SIM_ID_SIZE];

	sim_users_id(w->user, id);
	SIM_LITERAL(w->buf, "{\"id\":");
	sim_buf_string(w->buf, id);
	SIM_LITERAL(w->buf, ",\"object\":\"user\",\"username\":");
	sim_buf_string(w->buf, person->username);
	SIM_LITERAL(w->buf, ",\"first_name\":");
	sim_buf_string(w->buf, person->first);
	SIM_LITERAL(w->buf, ",\"last_name\":");
	sim_buf_string(w->buf, person->last);
	SIM_LITERAL(w->buf, ",\"locale\":null");
	put_image(w, "image_url", TOKEN_IMAGE);
	SIM_LITERAL(w->buf, ",\"has_image\":");
	put_bool(w->buf, w->google);
	SIM_LITERAL(w->buf, ",\"primary_email_address_id\":");
	if (person->primary >= 0)
		put_token(w, "idn_", TOKEN_EMAIL + (uint64_t) person->primary);
	else
		SIM_LITERAL(w->buf, "null");
	SIM_LITERAL(w->buf, ",\"primary_phone_number_id\":");
	if (w->phone)
		put_token(w, "idn_", TOKEN_PHONE);
	else
		SIM_LITERAL(w->buf, "null");
	SIM_LITERAL(w->buf, ",\"primary_web3_wallet_id\":null,"
				"\"password_enabled\":");
	put_bool(w->buf, !w->google && !person->plain);
	SIM_LITERAL(w->buf, ",\"two_factor_enabled\":false,"
				"\"totp_enabled\":false,\"backup_code_enabled\":false");
}

static void
put_sign_in(Writer *w)
{
	int64_t		created = w->user->created;
	int64_t		seen = w->person->plain || (w->more >> 32) % 8 == 0 ? -1 :
	created + (int64_t) ((w->more >> 35) % 90) * DAY_MS + 61234;

	SIM_LITERAL(w->buf, ",\"last_sign_in_at\":");
	if (seen < 0)
		SIM_LITERAL(w->buf, "null,\"last_active_at\":null");
	else
	{
		sim_buf_int(w->buf, seen);
		SIM_LITERAL(w->buf, ",\"last_active_at\":");
		sim_buf_int(w->buf, seen - seen % DAY_MS);
	}
	SIM_LITERAL(w->buf, ",\"banned\":");
	put_bool(w->buf, !w->person->plain && (w->more >> 42) % 100 == 0);
	SIM_LITERAL(w->buf, ",\"locked\":");
	put_bool(w->buf, !w->person->plain && (w->more >> 49) % 200 == 0);
	SIM_LITERAL(w->buf, ",\"lockout_expires_in_seconds\":null,"
				"\"verification_attempts_remaining\":100");
}

void
sim_clerk_put_user(SimBuf *buf, const SimUser *user)
{
	SimPerson	person;
	Writer		w = {buf, user, &person, 0, false, false};

	sim_generate_person(user, &person);
	w.more = sim_hash(person.hash, 6);
	w.google = !person.plain && person.n_emails > 0 && (w.more >> 57) % 4 > 0;
	w.phone = !person.plain &&
		(person.n_emails == 0 || (w.more >> 60) % 4 == 0);

	put_head(&w);
	put_emails(&w);
	put_phones(&w);
	SIM_LITERAL(buf, ",\"web3_wallets\":[],\"passkeys\":[],"
				"\"external_accounts\":[");
	if (w.google)
		put_account(&w);
	SIM_LITERAL(buf, "],\"saml_accounts\":[],\"enterprise_accounts\":[],"
				"\"password_last_updated_at\":null");
	put_metadata(&w);
	SIM_LITERAL(buf, ",\"external_id\":null");
	put_sign_in(&w);
	put_times(&w);
	SIM_LITERAL(buf, ",\"delete_self_enabled\":true,"
				"\"create_organization_enabled\":true,"
				"\"create_organizations_limit\":null,"
				"\"bypass_client_trust\":false,"
				"\"requires_password_reset\":false,"
				"\"deprovisioned\":false,\"legal_accepted_at\":null,"
				"\"mfa_enabled_at\":null,\"mfa_disabled_at\":null");
	put_image(&w, "profile_image_url", TOKEN_IMAGE);
	SIM_LITERAL(buf, "}");
}
