-- Three schemas, and for each a user who can reach no other and can grant nothing.
--
-- Passwords stand in files and come in as variables, so that they appear in no command line and in no file of SQL:
--
--   { for program in web core resolver; do
--       printf "SET @%s_password = '%s';\n" "$program" "$(cat "/etc/sota/secrets/$program-database.password")"
--     done; cat deploy/mariadb/users.sql; } | mariadb
--
-- (printf is the shell's own command: nobody sees its arguments.) A missing password ends the run with an error. It may be
-- run again, to change passwords. @client_host names the address that the programs connect from; loopback where not set.

SET @client_host = COALESCE(@client_host, '127.0.0.1');

CREATE DATABASE IF NOT EXISTS sota_web CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE DATABASE IF NOT EXISTS sota_core CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE DATABASE IF NOT EXISTS sota_resolver CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

EXECUTE IMMEDIATE CONCAT('CREATE USER IF NOT EXISTS sota_web@', QUOTE(@client_host));
EXECUTE IMMEDIATE CONCAT('CREATE USER IF NOT EXISTS sota_core@', QUOTE(@client_host));
EXECUTE IMMEDIATE CONCAT('CREATE USER IF NOT EXISTS sota_resolver@', QUOTE(@client_host));

-- QUOTE gives the word NULL for a missing value; NULLIF with an empty text makes an empty password an error as well.
EXECUTE IMMEDIATE CONCAT('ALTER USER sota_web@', QUOTE(@client_host), ' IDENTIFIED BY ''',
                         REPLACE(NULLIF(@web_password, ''), '''', ''''''), '''');
EXECUTE IMMEDIATE CONCAT('ALTER USER sota_core@', QUOTE(@client_host), ' IDENTIFIED BY ''',
                         REPLACE(NULLIF(@core_password, ''), '''', ''''''), '''');
EXECUTE IMMEDIATE CONCAT('ALTER USER sota_resolver@', QUOTE(@client_host), ' IDENTIFIED BY ''',
                         REPLACE(NULLIF(@resolver_password, ''), '''', ''''''), '''');

-- Rows, and what the migrations need that a program applies to its own schema at its start: to create, alter and drop
-- tables and their indexes and foreign keys. Nothing global, no GRANT.
EXECUTE IMMEDIATE CONCAT('GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON sota_web.* TO sota_web@',
                         QUOTE(@client_host));
EXECUTE IMMEDIATE CONCAT('GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON sota_core.* TO sota_core@',
                         QUOTE(@client_host));
EXECUTE IMMEDIATE CONCAT('GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON sota_resolver.* TO sota_resolver@',
                         QUOTE(@client_host));
