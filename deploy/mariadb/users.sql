-- Three schemas, and for each a user who can reach no other and can grant nothing.
--
-- Passwords stand in files and come in as variables, so that they appear in no command line and in no file of SQL:
--
--   { for program in web core resolver; do
--       printf "SET @%s_password = '%s';\n" "$program" "$(cat "/etc/sota/secrets/$program-database.password")"
--     done; cat deploy/mariadb/users.sql; } | mariadb
--
-- (printf is the shell's own command: its arguments are not visible to others.) A missing password ends the run with an error. It may be
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

-- For sota backup and sota restore, where @backup_password and @restore_password are given: one user who may read the
-- three schemas, and one who may replace what is in them. PROCESS lets both see whether a program is still connected.
SET @backup = IF(@backup_password IS NULL, NULL, CONCAT('sota_backup@', QUOTE(@client_host)));
SET @restore = IF(@restore_password IS NULL, NULL, CONCAT('sota_restore@', QUOTE(@client_host)));

EXECUTE IMMEDIATE COALESCE(CONCAT('CREATE USER IF NOT EXISTS ', @backup), 'DO 0');
EXECUTE IMMEDIATE COALESCE(CONCAT('CREATE USER IF NOT EXISTS ', @restore), 'DO 0');
EXECUTE IMMEDIATE IF(@backup IS NULL, 'DO 0', CONCAT('ALTER USER ', @backup, ' IDENTIFIED BY ''',
                     REPLACE(NULLIF(@backup_password, ''), '''', ''''''), ''''));
EXECUTE IMMEDIATE IF(@restore IS NULL, 'DO 0', CONCAT('ALTER USER ', @restore, ' IDENTIFIED BY ''',
                     REPLACE(NULLIF(@restore_password, ''), '''', ''''''), ''''));
EXECUTE IMMEDIATE COALESCE(CONCAT('GRANT PROCESS ON *.* TO ', @backup), 'DO 0');
EXECUTE IMMEDIATE COALESCE(CONCAT('GRANT PROCESS ON *.* TO ', @restore), 'DO 0');
EXECUTE IMMEDIATE COALESCE(CONCAT('GRANT SELECT ON sota_web.* TO ', @backup), 'DO 0');
EXECUTE IMMEDIATE COALESCE(CONCAT('GRANT SELECT ON sota_core.* TO ', @backup), 'DO 0');
EXECUTE IMMEDIATE COALESCE(CONCAT('GRANT SELECT ON sota_resolver.* TO ', @backup), 'DO 0');
SET @may_replace = 'SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES';
EXECUTE IMMEDIATE COALESCE(CONCAT('GRANT ', @may_replace, ' ON sota_web.* TO ', @restore), 'DO 0');
EXECUTE IMMEDIATE COALESCE(CONCAT('GRANT ', @may_replace, ' ON sota_core.* TO ', @restore), 'DO 0');
EXECUTE IMMEDIATE COALESCE(CONCAT('GRANT ', @may_replace, ' ON sota_resolver.* TO ', @restore), 'DO 0');
