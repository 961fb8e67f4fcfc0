-- One of every kind of object that a catalog holds, for PostgreSQL 15 and newer, without any extension. Settings of the
-- session shape the text of constants, so some are here that print in many ways.
CREATE SCHEMA shop;
COMMENT ON SCHEMA shop IS 'All that is sold';
GRANT USAGE ON SCHEMA shop TO PUBLIC;

-- Types
CREATE TYPE shop.size AS ENUM ('small', 'medium', 'large');
CREATE TYPE shop.address AS (street text, zip varchar(10) COLLATE "C", since timestamptz(3));
COMMENT ON COLUMN shop.address.zip IS 'As it is written';
CREATE TYPE shop.span AS RANGE (subtype = float8, subtype_diff = float8mi, multirange_type_name = shop.spans);
CREATE TYPE shop.later;
CREATE DOMAIN shop.email AS text COLLATE "C" DEFAULT 'a@b' CONSTRAINT has_at CHECK (VALUE LIKE '%@%');
CREATE DOMAIN shop.born AS date NOT NULL DEFAULT '2001-02-03' CHECK (VALUE > '1900-01-01'::date);
COMMENT ON CONSTRAINT has_at ON DOMAIN shop.email IS 'Else nothing arrives';
CREATE TYPE shop.pair;
CREATE FUNCTION shop.pair_in(cstring) RETURNS shop.pair LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION shop.pair_out(shop.pair) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE shop.pair (INPUT = shop.pair_in, OUTPUT = shop.pair_out, LIKE = int4, CATEGORY = 'N');
COMMENT ON TYPE shop.size IS 'Of a shirt';

-- Functions and what is made of them
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION shop.twice(x int DEFAULT 1, VARIADIC more int[] DEFAULT '{}') RETURNS int LANGUAGE sql IMMUTABLE STRICT
    LEAKPROOF PARALLEL SAFE COST 7 AS 'SELECT x * 2';
CREATE FUNCTION shop.series(until int) RETURNS SETOF int LANGUAGE sql STABLE ROWS 50 SECURITY DEFINER
    SET search_path TO 'shop', 'pg_temp' SET work_mem TO '8MB' AS 'SELECT generate_series(1, until)';
CREATE FUNCTION shop.starts(text, text) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT
    SUPPORT pg_catalog.text_starts_with_support AS 'text_starts_with';
CREATE PROCEDURE shop.clean(OUT gone int, before timestamptz DEFAULT '2020-05-06 07:08:09+00')
    LANGUAGE plpgsql AS $$ BEGIN gone := 0; END $$;
COMMENT ON FUNCTION shop.touch() IS 'When a row changed';
REVOKE EXECUTE ON FUNCTION shop.series(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.series(int) TO pg_monitor WITH GRANT OPTION;
CREATE FUNCTION shop.first_of(state text, value text) RETURNS text LANGUAGE sql IMMUTABLE
    AS 'SELECT coalesce(state, value)';
CREATE AGGREGATE shop.first(text) (SFUNC = shop.first_of, STYPE = text, PARALLEL = SAFE);
CREATE AGGREGATE shop.middle(float8 ORDER BY float8) (SFUNC = ordered_set_transition, STYPE = internal,
    FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
CREATE FUNCTION shop.mod_eq(a int, b int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT a % 7 = b % 7';
CREATE FUNCTION shop.mod_ne(a int, b int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT a % 7 <> b % 7';
CREATE OPERATOR shop.=~ (LEFTARG = int, RIGHTARG = int, FUNCTION = shop.mod_eq, COMMUTATOR = OPERATOR(shop.=~),
    RESTRICT = eqsel, JOIN = eqjoinsel);
CREATE OPERATOR shop.<>~ (LEFTARG = int, RIGHTARG = int, FUNCTION = shop.mod_ne, NEGATOR = OPERATOR(shop.=~));
CREATE OPERATOR shop.%% (RIGHTARG = int, FUNCTION = int4abs);
COMMENT ON OPERATOR shop.=~ (int, int) IS 'The same weekday';
CREATE OPERATOR FAMILY shop.backwards USING btree;
CREATE OPERATOR CLASS shop.int_backwards FOR TYPE int USING btree FAMILY shop.backwards AS
    OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 btint4cmp(int, int);
CREATE FUNCTION shop.to_size(x int) RETURNS shop.size LANGUAGE sql IMMUTABLE AS $$ SELECT 'small'::shop.size $$;
CREATE CAST (int AS shop.size) WITH FUNCTION shop.to_size(int) AS ASSIGNMENT;
CREATE CAST (shop.pair AS int) WITHOUT FUNCTION;
CREATE CONVERSION shop.from_latin1 FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE COLLATION shop.plain (PROVIDER = libc, LOCALE = 'C');
CREATE TEXT SEARCH PARSER shop.words (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end,
    LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH TEMPLATE shop.simple (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY shop.names (TEMPLATE = pg_catalog.simple, ACCEPT = false);
CREATE TEXT SEARCH CONFIGURATION shop.search (PARSER = pg_catalog."default");
ALTER TEXT SEARCH CONFIGURATION shop.search ADD MAPPING FOR word, asciiword WITH shop.names, pg_catalog.simple;
CREATE FUNCTION shop.handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRUSTED LANGUAGE plother HANDLER shop.handler;
CREATE FUNCTION shop.from_size(internal) RETURNS internal LANGUAGE internal IMMUTABLE AS 'prsd_lextype';
CREATE TRANSFORM FOR shop.size LANGUAGE sql (FROM SQL WITH FUNCTION shop.from_size(internal));
CREATE ACCESS METHOD tree TYPE INDEX HANDLER bthandler;

-- Tables
CREATE SEQUENCE shop.ticket AS int START 100 INCREMENT 5 MINVALUE 100 CACHE 2 CYCLE;
CREATE SEQUENCE shop.down INCREMENT -1 MAXVALUE 1000 START 1000;
CREATE TABLE shop.users (
    id int GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 2) PRIMARY KEY,
    email shop.email NOT NULL UNIQUE,
    name text COLLATE "C" NOT NULL DEFAULT 'nobody',
    size shop.size DEFAULT 'small',
    home shop.address,
    born date DEFAULT '1999-12-31',
    waits interval DEFAULT '1 year 2 mons 3 days 04:05:06.7',
    since timestamptz DEFAULT '2020-01-02 03:04:05.678+00',
    changed timestamptz(3),
    raw bytea DEFAULT '\x00ff',
    exact float8 DEFAULT 0.1,
    price money DEFAULT 12.5,
    balance numeric(12, 2) DEFAULT 0 CONSTRAINT not_poor CHECK (balance > -1000) NO INHERIT,
    number int DEFAULT nextval('shop.ticket'),
    "Odd.Name" text,
    shout text GENERATED ALWAYS AS (upper(name)) STORED,
    CONSTRAINT one_home UNIQUE NULLS NOT DISTINCT (born, size) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT seen CHECK (since > '1970-01-01 00:00:00+00'::timestamptz AND born > DATE '1850-01-01')
) WITH (fillfactor = 90, toast.autovacuum_enabled = false);
CREATE INDEX users_born ON shop.users (born DESC NULLS LAST) INCLUDE (name) WHERE born IS NOT NULL;
CREATE INDEX users_lower ON shop.users (lower(name) COLLATE "POSIX" text_pattern_ops);
CREATE INDEX users_since ON shop.users (since) WHERE since > '2001-01-01 00:00:00+00'::timestamptz;
ALTER INDEX shop.users_lower ALTER COLUMN 1 SET STATISTICS 300;
ALTER TABLE shop.users CLUSTER ON users_email_key;
ALTER TABLE shop.users ALTER name SET STATISTICS 500, ALTER name SET STORAGE EXTERNAL, ALTER raw SET COMPRESSION pglz,
    ALTER size SET (n_distinct = 3);
COMMENT ON TABLE shop.users IS E'People\nand ''others''';
COMMENT ON COLUMN shop.users.email IS 'Where they are written to';
COMMENT ON INDEX shop.users_born IS 'For birthdays';
COMMENT ON CONSTRAINT not_poor ON shop.users IS 'We are no bank';
CREATE TABLE shop.notes (
    id serial PRIMARY KEY,
    owner int REFERENCES shop.users ON DELETE CASCADE ON UPDATE SET NULL DEFERRABLE,
    body text,
    reply_to int CONSTRAINT reply REFERENCES shop.notes MATCH FULL
);
ALTER TABLE shop.notes ADD CONSTRAINT short CHECK (length(body) < 1000) NOT VALID;
ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY;
CREATE TABLE shop.bag (word text, weight int, at tsrange, EXCLUDE USING gist (at WITH &&));
ALTER TABLE shop.bag REPLICA IDENTITY FULL;
CREATE STATISTICS shop.bag_stats (dependencies, mcv) ON word, weight FROM shop.bag;
ALTER STATISTICS shop.bag_stats SET STATISTICS 200;
CREATE STATISTICS shop.bag_expression ON (lower(word)) FROM shop.bag;
CREATE TABLE shop.events (at timestamptz NOT NULL, what text CHECK (what <> '')) PARTITION BY RANGE (at);
CREATE TABLE shop.events_old PARTITION OF shop.events FOR VALUES FROM ('2020-01-01 00:00:00+00') TO
    ('2024-01-01 00:00:00+00');
CREATE TABLE shop.events_new PARTITION OF shop.events FOR VALUES FROM ('2024-01-01 00:00:00+00') TO (MAXVALUE)
    PARTITION BY LIST (what);
CREATE TABLE shop.events_new_a PARTITION OF shop.events_new FOR VALUES IN ('a', NULL);
CREATE TABLE shop.events_rest PARTITION OF shop.events DEFAULT;
CREATE INDEX events_at ON shop.events (at);
CREATE TABLE shop.parts (id int PRIMARY KEY, label text) PARTITION BY HASH (id);
CREATE TABLE shop.parts_0 PARTITION OF shop.parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.parts_1 PARTITION OF shop.parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE shop.base (a int NOT NULL, CHECK (a > 0)); CREATE TABLE shop.other (c int);
CREATE TABLE shop.derived (b int) INHERITS (shop.base, shop.other);
CREATE TABLE shop.typed OF shop.address (PRIMARY KEY (zip));
CREATE UNLOGGED TABLE shop.cache (k text PRIMARY KEY, v text);
CREATE TABLE shop."Odd.Table" ("a.b" int, "c d" text);
CREATE TABLE shop.links (user_id int REFERENCES shop.users, word text, why text);
CREATE TABLE shop.spare (a int, b text);
CREATE SCHEMA attic;
CREATE INDEX "Odd Index" ON shop."Odd.Table" ("a.b");

-- Views, triggers, rules, policies
CREATE VIEW shop.adults WITH (security_barrier, security_invoker) AS
    SELECT u.id, u.name, u.born FROM shop.users u WHERE u.born < '2000-01-01' WITH LOCAL CHECK OPTION;
CREATE VIEW shop.recent (who, how_many) AS
    SELECT u.name, count(*) FILTER (WHERE n.body ~ 'x') FROM shop.users u LEFT JOIN shop.notes n ON n.owner = u.id
    WHERE u.since > '2020-02-03 04:05:06+07' AND u.waits > '3 mons 04:00:00'::interval
    GROUP BY u.name HAVING count(*) > 1 ORDER BY 1;
CREATE VIEW shop.joined AS SELECT id, n.body, u.name FROM shop.notes n JOIN shop.users u USING (id) WHERE EXISTS (
    SELECT FROM shop.bag b WHERE b.word = u.name AND b.weight = ANY (ARRAY[1, 2]));
CREATE VIEW shop.unioned AS WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT r.n + 1 FROM r WHERE r.n < 5)
    SELECT n, CASE n WHEN 1 THEN 'one' ELSE 'more' END AS words, row_number() OVER w AS place,
    extract(year FROM now()) AS year, (now() AT TIME ZONE 'UTC')::date AS day FROM r WINDOW w AS (ORDER BY n);
CREATE VIEW shop.grouped AS SELECT size, born, sum(balance) AS total FROM shop.users GROUP BY GROUPING SETS ((size, born), ());
CREATE VIEW shop.nested AS SELECT a.name FROM shop.adults a WHERE a.id IN (SELECT owner FROM shop.notes) LIMIT 5;
ALTER VIEW shop.adults ALTER COLUMN name SET DEFAULT 'unknown';
COMMENT ON COLUMN shop.adults.name IS 'As they are called';
CREATE MATERIALIZED VIEW shop.totals AS SELECT size, count(*) AS users FROM shop.users GROUP BY size;
CREATE UNIQUE INDEX totals_size ON shop.totals (size);
CREATE MATERIALIZED VIEW shop.empty AS SELECT u.id FROM shop.users u WITH NO DATA;
CREATE FUNCTION shop.names_of(above int) RETURNS SETOF text LANGUAGE sql STABLE
    BEGIN ATOMIC SELECT u.name FROM shop.users u WHERE u.id > above ORDER BY u.id; END;
CREATE TRIGGER touch BEFORE UPDATE OF name, email ON shop.users FOR EACH ROW
    WHEN (OLD.since < '2030-01-01 00:00:00+00') EXECUTE FUNCTION shop.touch();
CREATE TRIGGER later AFTER INSERT ON shop.notes REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT
    EXECUTE FUNCTION shop.touch('a', 'b');
CREATE CONSTRAINT TRIGGER held AFTER INSERT ON shop.notes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION shop.touch();
CREATE TRIGGER each BEFORE INSERT ON shop.events FOR EACH ROW EXECUTE FUNCTION shop.touch();
ALTER TABLE shop.notes ENABLE ALWAYS TRIGGER held;
COMMENT ON TRIGGER touch ON shop.users IS 'Keeps time';
CREATE RULE keep AS ON DELETE TO shop.bag WHERE OLD.weight > 3 DO INSTEAD NOTHING;
CREATE RULE also AS ON UPDATE TO shop.bag DO ALSO INSERT INTO shop.cache VALUES (NEW.word, 'moved');
COMMENT ON RULE keep ON shop.bag IS 'Heavy things stay';
CREATE POLICY own ON shop.notes FOR SELECT USING (owner = 1);
CREATE POLICY write ON shop.notes AS RESTRICTIVE FOR UPDATE TO pg_monitor USING (owner > 0 AND body IS NOT NULL)
    WITH CHECK (EXISTS (SELECT FROM shop.users u WHERE u.id = notes.owner));
COMMENT ON POLICY own ON shop.notes IS 'Only the first';

-- Grants, settings, publications, foreign servers, large objects
GRANT ALL ON shop.bag TO pg_monitor;
GRANT SELECT ON shop.notes, shop.adults TO PUBLIC;
GRANT SELECT (word), UPDATE (word) ON shop.bag TO PUBLIC;
GRANT USAGE ON SEQUENCE shop.ticket TO pg_monitor;
REVOKE USAGE ON TYPE shop.size FROM PUBLIC;
REVOKE DELETE ON shop.parts FROM CURRENT_USER;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_waldir() TO pg_read_all_data;
CREATE PUBLICATION news FOR TABLE shop.notes (id, owner) WHERE (owner > 5), shop.parts WITH (publish = 'insert, update',
    publish_via_partition_root = true);
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE PUBLICATION schemas FOR TABLES IN SCHEMA shop;
COMMENT ON PUBLICATION news IS 'For the warehouse';
CREATE FUNCTION shop.watched() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('DROP TABLE', 'CREATE TABLE')
    EXECUTE FUNCTION shop.watched();
ALTER EVENT TRIGGER watch ENABLE REPLICA;
COMMENT ON EVENT TRIGGER watch IS 'Sees it';
CREATE FOREIGN DATA WRAPPER far OPTIONS (debug 'true');
CREATE SERVER warehouse TYPE 'stock' VERSION '2' FOREIGN DATA WRAPPER far OPTIONS (host 'db.example', port '5433');
CREATE USER MAPPING FOR PUBLIC SERVER warehouse OPTIONS (user 'reader', password 'fish-in-the-sea');
CREATE USER MAPPING FOR CURRENT_USER SERVER warehouse;
CREATE FOREIGN TABLE shop.stock (id int OPTIONS (column_name 'nr') NOT NULL, place text) SERVER warehouse
    OPTIONS (table_name 'stock', password 'fish-in-the-sea');
GRANT USAGE ON FOREIGN SERVER warehouse TO PUBLIC;
SELECT lo_from_bytea(777, '\x00010203');
COMMENT ON LARGE OBJECT 777 IS 'A picture';
GRANT SELECT ON LARGE OBJECT 777 TO PUBLIC;
SELECT lo_from_bytea(778, '\x04');

INSERT INTO shop.users (email, name, size, born) SELECT 'u' || n || '@x.y', 'name ' || n, 'large',
    date '1990-01-01' + n FROM generate_series(1, 20) n;
INSERT INTO shop.notes (owner, body) SELECT 8 + 2 * n, repeat('x', n) FROM generate_series(1, 20) n;
SELECT nextval('shop.down'), nextval('shop.down');
REFRESH MATERIALIZED VIEW shop.totals;
