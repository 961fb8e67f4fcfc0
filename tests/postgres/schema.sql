-- A database with something of everything that a catalog holds; the target of the mutations in test_catalog.py.
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE app.address AS (street text, zip varchar(10));
CREATE TYPE app.span AS RANGE (subtype = float8);
CREATE DOMAIN app.email AS text COLLATE "C" CONSTRAINT has_at CHECK (VALUE LIKE '%@%');
CREATE SEQUENCE app.ticket START 100 INCREMENT 5 CACHE 2;
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed := now(); RETURN NEW; END $$;
CREATE FUNCTION app.double(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT x * 2';
CREATE FUNCTION app.first_of(state text, value text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT coalesce(state, value)';
CREATE AGGREGATE app.first(text) (SFUNC = app.first_of, STYPE = text);
CREATE FUNCTION app.mod_eq(a int, b int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT a % 7 = b % 7';
CREATE OPERATOR app.=~ (LEFTARG = int, RIGHTARG = int, FUNCTION = app.mod_eq);
CREATE FUNCTION app.to_mood(x int) RETURNS app.mood LANGUAGE sql IMMUTABLE AS $$ SELECT 'ok'::app.mood $$;
CREATE CAST (int AS app.mood) WITH FUNCTION app.to_mood(int);
CREATE TEXT SEARCH DICTIONARY app.plain (TEMPLATE = simple);
CREATE TEXT SEARCH CONFIGURATION app.english (COPY = pg_catalog.english);
CREATE TABLE app.users (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email app.email NOT NULL UNIQUE,
    name text COLLATE "C" NOT NULL DEFAULT 'nobody',
    mood app.mood DEFAULT 'ok',
    home app.address,
    born date,
    changed timestamptz(3),
    balance numeric(12, 2) DEFAULT 0 CONSTRAINT not_poor CHECK (balance > -1000),
    shout text GENERATED ALWAYS AS (upper(name)) STORED
);
CREATE INDEX users_born ON app.users (born DESC) WHERE born IS NOT NULL;
CREATE INDEX users_lower ON app.users (lower(name));
CREATE TABLE app.notes (
    id serial PRIMARY KEY,
    owner int REFERENCES app.users ON DELETE CASCADE,
    body text
) WITH (fillfactor = 80);
ALTER TABLE app.notes ADD CONSTRAINT short CHECK (length(body) < 1000) NOT VALID;
CREATE TABLE app.bag (word text, weight int);
CREATE STATISTICS app.bag_stats (dependencies) ON word, weight FROM app.bag;
CREATE TABLE app.events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE app.events_old PARTITION OF app.events FOR VALUES FROM ('2020-01-01') TO ('2024-01-01');
CREATE TABLE app.events_new PARTITION OF app.events FOR VALUES FROM ('2024-01-01') TO ('2030-01-01');
CREATE INDEX events_at ON app.events (at);
CREATE TABLE app.base (a int); CREATE TABLE app.derived (b int) INHERITS (app.base);
CREATE TABLE app.parts (id int PRIMARY KEY, label text) PARTITION BY HASH (id);
CREATE TABLE app.parts_0 PARTITION OF app.parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE app.uses (part int REFERENCES app.parts, day date) PARTITION BY RANGE (day);
CREATE TABLE app.uses_all PARTITION OF app.uses DEFAULT;
CREATE UNLOGGED TABLE app.cache (k text PRIMARY KEY, v text);
CREATE VIEW app.adults AS SELECT u.id, u.name FROM app.users u WHERE u.born < '2000-01-01';
CREATE MATERIALIZED VIEW app.totals AS SELECT mood, count(*) AS users FROM app.users GROUP BY mood;
CREATE TRIGGER touch BEFORE UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION app.touch();
CREATE RULE keep AS ON DELETE TO app.bag DO INSTEAD NOTHING;
CREATE POLICY own ON app.notes FOR SELECT USING (owner = 1);
COMMENT ON TABLE app.users IS 'People';
COMMENT ON COLUMN app.users.email IS 'Where they are written to';
GRANT SELECT ON app.notes TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC;
CREATE PUBLICATION news FOR TABLE app.notes;
INSERT INTO app.users (email, name, mood, born, balance)
    SELECT 'u' || n || '@x.y', 'name ' || n, 'happy', date '1990-01-01' + n, n FROM generate_series(1, 200) n;
INSERT INTO app.notes (owner, body) SELECT 1 + n % 200, repeat('x', n % 50) FROM generate_series(1, 500) n;
INSERT INTO app.bag SELECT 'w' || n % 10, n % 3 FROM generate_series(1, 100) n;
INSERT INTO app.events SELECT date '2023-06-01' + n, 'e' || n FROM generate_series(1, 400) n;
INSERT INTO app.base VALUES (1); INSERT INTO app.derived VALUES (2, 3);
INSERT INTO app.cache VALUES ('k', 'v');
INSERT INTO app.parts SELECT n, 'p' || n FROM generate_series(1, 40) n;
INSERT INTO app.uses SELECT n, date '2024-01-01' FROM generate_series(1, 40) n;
SELECT nextval('app.ticket');
REFRESH MATERIALIZED VIEW app.totals;
SELECT lo_from_bytea(777, '\x00010203');
