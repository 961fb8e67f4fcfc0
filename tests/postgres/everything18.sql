-- What PostgreSQL 18 adds to everything.sql.
ALTER TABLE shop.users ADD COLUMN whisper text GENERATED ALWAYS AS (lower(name)) VIRTUAL;
ALTER TABLE shop.notes ADD CONSTRAINT wished CHECK (body <> 'no') NOT ENFORCED;
ALTER TABLE shop.notes ADD CONSTRAINT wished_owner FOREIGN KEY (owner) REFERENCES shop.users NOT ENFORCED;
ALTER TABLE shop.spare ADD CONSTRAINT a_there NOT NULL a NOT VALID;
CREATE TABLE shop.periods (id int4range, valid daterange, CONSTRAINT over_time PRIMARY KEY (id, valid WITHOUT OVERLAPS));
ALTER TABLE shop.spare ADD COLUMN d int CONSTRAINT mine NOT NULL NO INHERIT;
GRANT MAINTAIN ON shop.bag TO PUBLIC;
