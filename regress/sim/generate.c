/*-------------------------------------------------------------------------
 *
 * generate.c
 *		Users made from nothing but the seed and an index.
 *
 * Identifiers are a permutation of the index with a check behind it, times
 * rise with the index, and each generated e-mail ends in the index: all three
 * can be searched without a table.  This file knows no record of users.c
 * except the one handed to it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

#define FIRST_TIME INT64_C(1735689600000)	/* 2025-01-01 */
#define STEP_MS 20000			/* 1,000,000 users are 231 days */
#define BLOCK 64				/* users among whom one run of ties lies */
#define MAX_INDEX (INT64_C(1) << 48)
#define ODD1 UINT64_C(0x9E3779B97F4A7C15)
#define ODD2 UINT64_C(0xD6E8FEB86659FD93)

typedef struct NamePart
{
	const char *shown;
	const char *ascii;			/* as in an e-mail address */
} NamePart;

static const NamePart first_names[] = {
	{"Ada", "ada"}, {"Zoë", "zoe"}, {"José", "jose"}, {"Mary", "mary"},
	{"Søren", "soren"}, {"Wei", "wei"}, {"Anaïs", "anais"}, {"Tom", "tom"},
	{"美咲", "misaki"}, {"Olga", "olga"}, {"Иван", "ivan"}, {"Lena", "lena"},
	{"Mehmet", "mehmet"}, {"Aoife", "aoife"}, {"François", "francois"},
	{"Priya", "priya"}, {"Grace", "grace"}, {"Łukasz", "lukasz"},
	{"Noah", "noah"}, {"Emma", "emma"}, {"Samuel", "samuel"},
	{"Fatima", "fatima"}, {"Kwame", "kwame"}, {"Björk", "bjork"},
	{"Carlos", "carlos"}, {"Ines", "ines"}, {"Đorđe", "dorde"},
	{"Hannah", "hannah"}, {"Mary-Jane", "mary-jane"}, {"Amélie", "amelie"},
	{"Raj", "raj"}, {"Yusuf", "yusuf"}
};

static const NamePart last_names[] = {
	{"Lind", "lind"}, {"Müller", "mueller"}, {"Nguyễn", "nguyen"},
	{"O'Brien", "obrien"}, {"García", "garcia"}, {"Smith", "smith"},
	{"Şahin", "sahin"}, {"Kowalski", "kowalski"}, {"佐藤", "sato"},
	{"Petrov", "petrov"}, {"van der Berg", "vdberg"}, {"Jones", "jones"},
	{"Ångström", "angstrom"}, {"Okafor", "okafor"}, {"Lefèvre", "lefevre"},
	{"Haddad", "haddad"}, {"Silva", "silva"}, {"Johansson", "johansson"},
	{"Ivanova", "ivanova"}, {"Brown", "brown"}, {"Žižek", "zizek"},
	{"Novák", "novak"}, {"Rossi", "rossi"}, {"Kim", "kim"},
	{"Patel", "patel"}, {"Chen", "chen"}, {"Weiß", "weiss"},
	{"Williams", "williams"}, {"Moreau", "moreau"}, {"Costa", "costa"},
	{"Ibrahim", "ibrahim"}, {"Taylor", "taylor"}
};

static const char *const domains[] = {
	"example.com", "example.org", "example.net", "mail.example.com",
	"work.example", "uni.example", "shop.example", "dev.example"
};

/* Of ids that are integers. */
#define FIRST_ID 1001

static const char base62[] =
"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#define PICK(table, hash) (table)[(hash) % (sizeof(table) / sizeof((table)[0]))]

uint64_t
sim_hash(uint64_t value, uint64_t salt)
{
	uint64_t	x = (value + sim_config.seed * ODD2) * ODD1 + salt * ODD2;

	x ^= x >> 32;
	x *= ODD2;
	x ^= x >> 29;
	x *= ODD1;
	return x ^ (x >> 32);
}

/*
 * The inverse of an odd number modulo 2^64: each round doubles the number of
 * right bits, and an odd number is its own inverse in the lowest three.
 */
static uint64_t
inverse(uint64_t odd)
{
	uint64_t	result = odd;

	for (int i = 0; i < 5; i++)
		result *= 2 - odd * result;
	return result;
}

static uint64_t
permute(uint64_t x)
{
	x = (x + sim_config.seed) * ODD1;
	x ^= x >> 32;
	x *= ODD2;
	return x ^ (x >> 32);
}

static uint64_t
unpermute(uint64_t x)
{
	x ^= x >> 32;
	x *= inverse(ODD2);
	x ^= x >> 32;
	return x * inverse(ODD1) - sim_config.seed;
}

static void
put_base62(char *to, int digits, uint64_t value)
{
	while (digits-- > 0)
	{
		to[digits] = base62[value % 62];
		value /= 62;
	}
}

/*
 * Append so many base62 digits that look random and depend on the hash only.
 */
void
sim_generate_token(SimBuf *buf, uint64_t hash, int digits)
{
	char		text[9];

	while (digits > 0)
	{
		int			part = digits < 9 ? digits : 9;

		hash = hash * ODD1 + ODD2;
		put_base62(text, part, hash ^ (hash >> 32));
		sim_buf_add(buf, text, (size_t) part);
		digits -= part;
	}
}

/*
 * The form of ids: the provider's, or that of the setting, where it has one.
 */
static SimIdForm
id_form(void)
{
	const char *ids = sim_setting("ids");

	return ids == NULL ? sim_config.provider->id_form : strcmp(ids, "integer") == 0 ? SIM_ID_INTEGER :
		strcmp(ids, "uuid") == 0 ? SIM_ID_UUID : SIM_ID_BASE62;
}

/*
 * The first eleven digits, or the first half of a UUID, hold the permuted index,
 * the others are the check.
 */
void
sim_generate_id(int64_t index, char *id)
{
	const SimProvider *provider = sim_config.provider;
	size_t		prefix = strlen(provider->id_prefix);
	uint64_t	value = permute((uint64_t) index);

	if (id_form() == SIM_ID_INTEGER)
	{
		snprintf(id, SIM_ID_SIZE, "%lld", (long long) index + FIRST_ID);
		return;
	}
	if (id_form() == SIM_ID_UUID)
	{
		uint64_t	check = sim_hash(value, 16);

		snprintf(id, SIM_ID_SIZE, "%08x-%04x-%04x-%04x-%012llx",
				 (unsigned) (value >> 32), (unsigned) (value >> 16 & 0xFFFF),
				 (unsigned) (value & 0xFFFF), (unsigned) (check >> 48),
				 (unsigned long long) (check & UINT64_C(0xFFFFFFFFFFFF)));
		return;
	}
	memcpy(id, provider->id_prefix, prefix);
	put_base62(id + prefix, 11, value);
	for (int done = 11; done < provider->id_digits; done += 9)
	{
		int			left = provider->id_digits - done;

		put_base62(id + prefix + done, left < 9 ? left : 9,
				   sim_hash(value, (uint64_t) done) >> 8);
	}
	id[prefix + (size_t) provider->id_digits] = '\0';
}

/*
 * The value that an id holds, if it has the form of one of ours.
 */
static bool
read_value(const char *id, uint64_t *value)
{
	const SimProvider *provider = sim_config.provider;
	size_t		prefix = strlen(provider->id_prefix);

	*value = 0;
	if (id_form() == SIM_ID_INTEGER)
	{
		int64_t		number;

		if (!sim_parse_int(id, FIRST_ID, FIRST_ID + MAX_INDEX - 1, &number))
			return false;
		*value = permute((uint64_t) (number - FIRST_ID));
		return true;
	}
	if (id_form() == SIM_ID_UUID)
	{
		unsigned	part[3];

		if (sscanf(id, "%8x-%4x-%4x-", &part[0], &part[1], &part[2]) != 3)
			return false;
		*value = (uint64_t) part[0] << 32 | (uint64_t) part[1] << 16 | part[2];
		return true;
	}
	if (strlen(id) != prefix + (size_t) provider->id_digits)
		return false;
	for (size_t i = prefix; i < prefix + 11; i++)
	{
		const char *digit = strchr(base62, id[i]);

		if (digit == NULL)
			return false;
		*value = *value * 62 + (uint64_t) (digit - base62);
	}
	return true;
}

int64_t
sim_generate_index(const char *id)
{
	uint64_t	value;
	char		again[SIM_ID_SIZE];

	if (!read_value(id, &value))
		return -1;
	value = unpermute(value);
	if (value >= (uint64_t) MAX_INDEX)
		return -1;
	sim_generate_id((int64_t) value, again);
	return strcmp(id, again) == 0 ? (int64_t) value : -1;
}

/*
 * When a generated user was created or changed; neither ever falls as "base"
 * rises.  Each user has a slot of time of its own, but in each block some
 * neighbours were imported together, in the first one's slot.
 */
int64_t
sim_generate_time(SimOrder order, int64_t base)
{
	uint64_t	block = sim_hash((uint64_t) (base / BLOCK), 1);
	int64_t		run = base - base % BLOCK + (int64_t) (block % (BLOCK - 8));
	int64_t		run_len = 2 + (int64_t) ((block >> 8) % 6);
	bool		tied = base >= run && base < run + run_len;
	int64_t		slot = tied ? run : base;
	uint64_t	jitter = sim_hash((uint64_t) slot, 2);
	int64_t		half = STEP_MS / 2;
	int64_t		created = FIRST_TIME + slot * STEP_MS +
	(int64_t) (jitter % (uint64_t) half);

	if (order == SIM_BY_CREATED || (!tied && (jitter >> 32) % 4 == 0))
		return created;

	/* the users of every other run were also changed together */
	if (tied && (block >> 16) % 2 == 0)
		slot = base;
	return FIRST_TIME + slot * STEP_MS + half +
		(int64_t) (sim_hash((uint64_t) slot, 3) % (uint64_t) half);
}

int64_t
sim_generate_end(void)
{
	return FIRST_TIME + sim_config.users * STEP_MS;
}

static void
put_base36(char *to, int64_t value)
{
	char		digits[16];
	int			n = 0;

	do
	{
		digits[n++] = "0123456789abcdefghijklmnopqrstuvwxyz"[value % 36];
		value /= 36;
	} while (value);
	while (n > 0)
		*to++ = digits[--n];
	*to = '\0';
}

/*
 * The index that an e-mail of our making ends in, before the at sign.
 * Whether that user really has the e-mail is for the caller to check.
 */
int64_t
sim_generate_email_index(const char *email)
{
	const char *at = strchr(email, '@');
	const char *p = at;
	char	   *end;
	long long	index;

	if (at == NULL)
		return -1;
	while (p > email && p[-1] != '.')
		p--;
	if (p == email || strspn(p, "0123456789abcdefghijklmnopqrstuvwxyz"
							 "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != (size_t) (at - p))
		return -1;
	index = strtoll(p, &end, 36);
	return end == at && index < MAX_INDEX ? index : -1;
}

/*
 * Join strings, the last argument being NULL, in a buffer that has room.
 */
static void
join(char *to,...)
{
	const char *part;
	va_list		parts;

	va_start(parts, to);
	while ((part = va_arg(parts, const char *)) != NULL)
	{
		size_t		len = strlen(part);

		memcpy(to, part, len);
		to += len;
	}
	va_end(parts);
	*to = '\0';
}

static void
generate_emails(SimPerson *person, const NamePart *first,
				const NamePart *last, const char *number)
{
	uint64_t	h = person->hash;
	int			n = 1;

	if (!sim_config.provider->email_required)
	{
		if ((h >> 24) % 64 == 0)
			n = 0;
		else if ((h >> 30) % 4 == 0)
			n = 2 + (int) ((h >> 32) % 2);
	}
	join(person->space[0], first->ascii, ".", last->ascii, ".", number, "@",
		 PICK(domains, h >> 34), (char *) NULL);
	if (n > 1)
		join(person->space[1], last->ascii, ".", number, "@",
			 PICK(domains, h >> 37), (char *) NULL);
	if (n > 2)
		join(person->space[2], first->ascii, ".", number, "@",
			 PICK(domains, h >> 40), (char *) NULL);
	for (int i = 0; i < n; i++)
		person->emails[i] = person->space[i];
	person->n_emails = n;
	person->primary = n == 0 ? -1 : (int) ((h >> 43) % (uint64_t) n);

	/* an address that was never verified is nobody's primary one */
	if (n == 1 && !sim_config.provider->email_required && (h >> 46) % 128 == 0)
		person->primary = -1;
}

static void
generate_fields(int64_t index, SimPerson *person)
{
	uint64_t	h = person->hash;
	const NamePart *first = &PICK(first_names, h);
	const NamePart *last = &PICK(last_names, h >> 5);
	bool		nameless = (h >> 10) % 16 == 0;
	char		number[16];

	put_base36(number, index);
	if (!nameless)
		person->first = first->shown;
	if (!nameless && (h >> 14) % 32 != 0)
		person->last = last->shown;
	generate_emails(person, first, last, number);
	if (nameless || person->n_emails == 0 || (h >> 19) % 8 == 0)
	{
		join(person->space[3], first->ascii, "_", number, (char *) NULL);
		person->username = person->space[3];
	}
}

/*
 * Fill in what is known of a user.  Strings point into the person or into
 * the user and live as long as the shorter of them.
 */
void
sim_generate_person(const SimUser *user, SimPerson *person)
{
	const unsigned every = SIM_SET_FIRST | SIM_SET_LAST | SIM_SET_USERNAME |
	SIM_SET_EMAILS;

	person->first = person->last = person->username = NULL;
	person->n_emails = 0;
	person->primary = -1;
	person->hash = sim_hash((uint64_t) user->index, 4);
	person->plain = (user->set & every) == every;
	if (!person->plain)
		generate_fields(user->index, person);
	if (user->set & SIM_SET_FIRST)
		person->first = user->first;
	if (user->set & SIM_SET_LAST)
		person->last = user->last;
	if (user->set & SIM_SET_USERNAME)
		person->username = user->username;
	if (user->set & SIM_SET_EMAILS)
	{
		person->n_emails = user->n_emails;
		person->primary = user->n_emails > 0 ? 0 : -1;
		for (int i = 0; i < user->n_emails; i++)
			person->emails[i] = user->emails[i];
	}
}

/*
 * Append the first and the last name with a NUL behind them: "" for neither.
 */
void
sim_generate_name(SimBuf *buf, const SimPerson *person)
{
	if (person->first)
		sim_buf_text(buf, person->first);
	if (person->first && person->last)
		SIM_LITERAL(buf, " ");
	if (person->last)
		sim_buf_text(buf, person->last);
	sim_buf_add(buf, "", 1);
}
