-- Work for sqlite3: inserts, indexes, joins, windows, recursive and JSON queries, full text, deletes, vacuum.
-- SPDX-License-Identifier: MIT
.bail on
PRAGMA threads = 2;
PRAGMA cache_size = -8000;
CREATE TABLE item (id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, body TEXT, price REAL);
WITH RECURSIVE number (n, r) AS (
    SELECT 1, 12345 UNION ALL SELECT n + 1, (r * 1103515245 + 12345) % 2147483648 FROM number WHERE n < 100000)
INSERT INTO item
    SELECT n, (r >> 8) % 500, printf('item %x', r),
           substr(hex(r) || replace(hex(zeroblob(100)), '0', 'ab'), 1, (r >> 5) % 150), (r % 10000) / 7.0
    FROM number;
CREATE INDEX item_name ON item (name, price);
CREATE INDEX item_kind ON item (kind, body);
SELECT 'rows', count(*), sum(length(body)), round(sum(price), 3), count(DISTINCT kind) FROM item;
SELECT 'sorted', group_concat(name, '|') FROM (SELECT name FROM item ORDER BY body DESC, name, id LIMIT 20);
SELECT 'joined', count(*), sum(a.id * b.id % 1000)
    FROM item a JOIN item b ON a.kind = b.kind AND a.id < b.id WHERE a.id < 5000;
SELECT 'windows', sum(rank), sum(length(previous))
    FROM (SELECT rank() OVER (PARTITION BY kind ORDER BY price, id) rank,
                 lag(name) OVER (ORDER BY price, id) previous FROM item);
SELECT 'json', length(document), json_extract(document, '$[777].name'), json_array_length(document)
    FROM (SELECT json_group_array(json_object('id', id, 'name', name, 'price', price)) document
          FROM (SELECT * FROM item ORDER BY id LIMIT 20000));
CREATE VIRTUAL TABLE words USING fts5 (name, body);
INSERT INTO words SELECT name, replace(body, 'b', ' b') FROM item WHERE id <= 30000;
SELECT 'found', count(*), sum(rowid) FROM words WHERE words MATCH 'item AND ba*';
BEGIN;
UPDATE item SET body = body || name WHERE kind % 3 = 0;
DELETE FROM item WHERE kind % 5 = 1;
COMMIT;
SAVEPOINT undone;
DELETE FROM item;
ROLLBACK TO undone;
RELEASE undone;
VACUUM;
PRAGMA integrity_check;
SELECT 'left', count(*), sum(length(body)), round(sum(price), 3) FROM item;
