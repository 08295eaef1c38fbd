-- IMPORT FOREIGN SCHEMA, and which columns a foreign table may have.
CREATE SERVER "Odd server" FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk');
CREATE SCHEMA nauth_app;
IMPORT FOREIGN SCHEMA public FROM SERVER "Odd server" INTO nauth_app;
IMPORT FOREIGN SCHEMA directory FROM SERVER "Odd server" INTO nauth_app OPTIONS (tables 'all');
IMPORT FOREIGN SCHEMA directory EXCEPT (users) FROM SERVER "Odd server" INTO nauth_app;
\d nauth_app.*
IMPORT FOREIGN SCHEMA directory LIMIT TO (users) FROM SERVER "Odd server" INTO nauth_app;
\d nauth_app.users
IMPORT FOREIGN SCHEMA directory FROM SERVER "Odd server" INTO nauth_app;

-- columns go by name: any subset, any order, dropped ones between
CREATE FOREIGN TABLE nauth_app.some (updated_at timestamptz, gone int, id text, email text) SERVER "Odd server";
ALTER FOREIGN TABLE nauth_app.some DROP COLUMN gone;
EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM nauth_app.some;

-- another name or type is an error that says what there is
CREATE FOREIGN TABLE nauth_app.wrong_name (id text, phone text) SERVER "Odd server";
EXPLAIN SELECT * FROM nauth_app.wrong_name;
CREATE FOREIGN TABLE nauth_app.wrong_type (id uuid) SERVER "Odd server";
EXPLAIN SELECT * FROM nauth_app.wrong_type;

-- read-only
INSERT INTO nauth_app.users (id) VALUES ('x');
UPDATE nauth_app.users SET name = 'x';
DELETE FROM nauth_app.users;
TRUNCATE nauth_app.users;

SET client_min_messages = warning;
DROP SERVER "Odd server" CASCADE;
DROP SCHEMA nauth_app CASCADE;
