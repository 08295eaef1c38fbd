/*-------------------------------------------------------------------------
 *
 * cognito_options.c
 *	  What options tell of a user pool of Amazon Cognito: its region, and the address
 *	  that has the region in it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "cognito.h"

#include <stdio.h>
#include <string.h>

#define POOL_MAX		55		/* bytes of the id of a user pool */

#define DIGITS			"0123456789"
#define LOWER_CASE		"abcdefghijklmnopqrstuvwxyz"
#define UPPER_CASE		"ABCDEFGHIJKLMNOPQRSTUVWXYZ"

bool
nauth_cognito_region(const NauthSettings *settings, char region[NAUTH_COGNITO_REGION])
{
	const char *text = settings->more[NAUTH_SETTING_REGION];
	size_t		len;

	if (text == NULL)
		text = settings->more[NAUTH_SETTING_USER_POOL_ID];
	if (text == NULL)
		return false;
	len = strcspn(text, "_");
	if (len == 0 || len >= NAUTH_COGNITO_REGION || strspn(text, LOWER_CASE DIGITS "-") != len)
		return false;
	memcpy(region, text, len);
	region[len] = '\0';
	return true;
}

/* Regions in China have a domain of their own. */
bool
nauth_cognito_write_url(const NauthSettings *settings, char url[NAUTH_URL_MAX])
{
	char		region[NAUTH_COGNITO_REGION];

	if (!nauth_cognito_region(settings, region))
		return false;
	snprintf(url, NAUTH_URL_MAX, "https://cognito-idp.%s.amazonaws.com%s", region,
			 strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
	return true;
}

const char *
nauth_cognito_refuse(const NauthSettings *settings, const char **hint)
{
	const char *pool = settings->more[NAUTH_SETTING_USER_POOL_ID];
	const char *region = settings->more[NAUTH_SETTING_REGION];
	const char *number = pool != NULL ? strchr(pool, '_') : NULL;
	char		found[NAUTH_COGNITO_REGION];

	*hint = "It is what AWS names the pool, such as eu-central-1_Example01: the region, an underscore, letters and digits.";
	if (number == NULL || number[1] == '\0' || strlen(pool) > POOL_MAX ||
		number[1 + strspn(number + 1, UPPER_CASE LOWER_CASE DIGITS)] != '\0' ||
		(region == NULL && !nauth_cognito_region(settings, found)))
		return "option \"user_pool_id\" is no id of a user pool";
	*hint = "It is a name such as eu-central-1. Without it the id of the user pool tells the region.";
	if (region != NULL && (strchr(region, '_') != NULL || !nauth_cognito_region(settings, found)))
		return "option \"region\" is no name of a region";
	return NULL;
}
