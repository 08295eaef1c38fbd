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

-- LIMIT TO and EXCEPT with other names, and such as must be quoted
CREATE SCHEMA nauth_more;
IMPORT FOREIGN SCHEMA directory LIMIT TO (members, "Users", "us""ers") FROM SERVER "Odd server" INTO nauth_more;
IMPORT FOREIGN SCHEMA directory EXCEPT (users, members) FROM SERVER "Odd server" INTO nauth_more;
\d nauth_more.*
IMPORT FOREIGN SCHEMA directory EXCEPT (members, "Users") FROM SERVER "Odd server" INTO nauth_more;
\d nauth_more.*
IMPORT FOREIGN SCHEMA "direc""tory" FROM SERVER "Odd server" INTO nauth_more;
DROP FOREIGN TABLE nauth_more.users;

-- options: which columns, in which order, and what is promised of them
IMPORT FOREIGN SCHEMA directory FROM SERVER "Odd server" INTO nauth_more OPTIONS (columns 'email, ID,"name"', import_not_null 'false');
\d nauth_more.users
DROP FOREIGN TABLE nauth_more.users;
IMPORT FOREIGN SCHEMA directory LIMIT TO (users) FROM SERVER "Odd server" INTO nauth_more OPTIONS (import_not_null 'on', columns 'raw_json,id');
\d nauth_more.users
DROP FOREIGN TABLE nauth_more.users;
IMPORT FOREIGN SCHEMA directory FROM SERVER "Odd server" INTO nauth_more OPTIONS (columns 'id, phone');
IMPORT FOREIGN SCHEMA directory FROM SERVER "Odd server" INTO nauth_more OPTIONS (columns 'id, name, id');
IMPORT FOREIGN SCHEMA directory FROM SERVER "Odd server" INTO nauth_more OPTIONS (columns 'id name');
IMPORT FOREIGN SCHEMA directory FROM SERVER "Odd server" INTO nauth_more OPTIONS (columns 'id,');
IMPORT FOREIGN SCHEMA directory FROM SERVER "Odd server" INTO nauth_more OPTIONS (columns '');
IMPORT FOREIGN SCHEMA directory FROM SERVER "Odd server" INTO nauth_more OPTIONS (import_not_null 'sometimes');
IMPORT FOREIGN SCHEMA directory FROM SERVER "Odd server" INTO nauth_more OPTIONS (columns 'id', columns 'name');
-- they are read even if nothing is imported
IMPORT FOREIGN SCHEMA directory EXCEPT (users) FROM SERVER "Odd server" INTO nauth_more OPTIONS ("Columns" 'id');

-- a server whose name must be quoted everywhere
CREATE SERVER "a ""server""; DROP SCHEMA nauth_more; --" FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk');
IMPORT FOREIGN SCHEMA directory FROM SERVER "a ""server""; DROP SCHEMA nauth_more; --" INTO nauth_more;
\d nauth_more.*

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
DROP SERVER "a ""server""; DROP SCHEMA nauth_more; --" CASCADE;
DROP SCHEMA nauth_app CASCADE;
DROP SCHEMA nauth_more CASCADE;
