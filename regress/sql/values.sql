-- Random values of all options: each is taken, or refused in a way that says so and
-- does not quote it.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.random_value() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(string_agg(piece, ''), '')
	FROM (SELECT (ARRAY['https://', 'http:', '/', '//', 'example.com', '..', '.', ':', '@', '?', '#', '%', '%2f', '%00', '\', '"', '''', ' ', ',',
						E'\n', E'\r', E'\t', E'\x01', E'\x7f', 'é', '名', '{', '}', '{id}', '$', ';', '=', '&', '*', '-', '+', '0', '1', '9', '99999999999',
						'1e308', 'e', 'inf', 'nan', 'ms', 's', 'min', 'd', 'kB', 'TB', 'true', 'off', 'redis://', 'unix:', '127.0.0.1', '[::1]', '6379',
						'-----BEGIN PRIVATE KEY-----', '-----END PRIVATE KEY-----', '\n', 'a', 'x_y', 'a.b', 'canary', 'canary', 'canary', repeat('x', 300), repeat('7', 70)])
				 [1 + floor(random() * 65)::int] AS piece
		  FROM generate_series(1, (random() * random() * 8)::int)) AS p
$$;
-- Says what went wrong, or how often values were taken and refused.
CREATE FUNCTION pg_temp.try_values(catalog regclass, fixed text[], names text[], times int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	name text;
	value text;
	taken int := 0;
	refused int := 0;
	message text;
	detail text;
	hint text;
	state text;
BEGIN
	FOREACH name IN ARRAY names LOOP
		FOR i IN 1 .. times LOOP
			value := pg_temp.random_value();
			BEGIN
				PERFORM neon_auth.neon_auth_fdw_validator(fixed || (name || '=' || value), catalog);
				taken := taken + 1;
			EXCEPTION WHEN OTHERS THEN
				GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
				refused := refused + 1;
				IF state !~ '^(22|HV)' OR message = '' OR concat(message, detail, hint) LIKE '%canary%' THEN
					RETURN format('%s: %s %s %s %s', name, state, message, detail, hint);
				END IF;
			END;
		END LOOP;
	END LOOP;
	RETURN CASE WHEN taken > 0 AND refused > 0 THEN 'taken or refused' ELSE format('taken %s, refused %s', taken, refused) END;
END
$$;
-- The names of all options, from the hint for one that is none.
CREATE FUNCTION pg_temp.names(catalog regclass, fixed text[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	PERFORM neon_auth.neon_auth_fdw_validator(fixed || 'no_such_option='::text, catalog);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN array_remove(string_to_array(trim('.' FROM split_part(hint, ': ', 2)), ', '), 'provider');
END
$$;
SELECT setseed(0.5);
SELECT cardinality(pg_temp.names('pg_foreign_server', '{provider=clerk}')) > 20 AS has_server_options,
	cardinality(pg_temp.names('pg_user_mapping', '{}')) > 5 AS has_mapping_options;
-- of each provider; who is shown here is wrong
SELECT * FROM (
	SELECT provider, pg_temp.try_values('pg_foreign_server',
			ARRAY['provider=' || provider] || ARRAY(SELECT r || CASE r WHEN 'url' THEN '=https://auth.example.com' WHEN 'list_path' THEN '=/users' ELSE '=eu_1' END FROM unnest(required) AS r),
			pg_temp.names('pg_foreign_server', ARRAY['provider=' || provider]), 40) AS values
	FROM neon_auth.providers()) AS tried
WHERE values <> 'taken or refused';
SELECT pg_temp.try_values('pg_user_mapping', '{}', pg_temp.names('pg_user_mapping', '{}'), 200) AS values;
