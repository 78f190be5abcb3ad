-- Work for PostgreSQL on a table :name: heavy sorts, joins, aggregates, indexes, functions, documents.
-- SPDX-License-Identifier: MIT
CREATE TABLE :name AS SELECT i AS id, md5(i::text) AS body, (i * 7919) % 1000 AS kind, repeat('n', i % 200) AS note,
    jsonb_build_object('id', i, 'tags', jsonb_build_array('t' || i % 9, 't' || i % 7)) AS document
    FROM generate_series(1, 60000) i;
CREATE INDEX ON :name (body);
CREATE INDEX ON :name USING gin (document);
SELECT md5(string_agg(body, ',' ORDER BY note COLLATE "C" DESC, body COLLATE "C")) FROM :name;
SELECT kind, count(*), max(body), sum(length(note)) FROM :name GROUP BY kind ORDER BY kind LIMIT 20;
SELECT count(*), sum(place) FROM (SELECT rank() OVER (PARTITION BY kind % 10 ORDER BY body) AS place FROM :name) ranked;
SELECT count(*) FROM :name a JOIN :name b ON a.kind = b.kind AND a.id % 10 = b.id % 10 AND a.body < b.body;
SELECT count(DISTINCT substr(body, 1, 5)), count(DISTINCT document->'tags') FROM :name;
SELECT count(*) FROM :name WHERE document @> '{"tags": ["t3"]}';
SELECT md5(string_agg(part, '' ORDER BY part COLLATE "C"))
    FROM (SELECT regexp_split_to_table(body, '[aeiou0-4]+') AS part FROM :name WHERE id < 20000) parts;
WITH RECURSIVE walk(id, depth) AS (SELECT 1, 0 UNION ALL SELECT (id * 7919 + 1) % 60000, depth + 1 FROM walk
    WHERE depth < 20000) SELECT count(*), sum(id) FROM walk;
DO $$ DECLARE words text[] := '{}'; BEGIN
    FOR i IN 1..5000 LOOP words := words || md5(i::text); END LOOP;
    PERFORM set_config('world.length', length(array_to_string(words, ','))::text, false);
END $$;
SELECT current_setting('world.length');
UPDATE :name SET note = upper(note) || body WHERE kind < 500;
DELETE FROM :name WHERE kind % 3 = 0;
SELECT count(*), sum(length(note)), md5(max(note)) FROM :name;
