-- Work for MariaDB on a table of its own: inserts, heavy sorts, joins, aggregates, indexes, documents, procedures.
-- SPDX-License-Identifier: MIT
CREATE TABLE @NAME@ (id INT PRIMARY KEY, body CHAR(32), kind INT, note TEXT, document LONGTEXT, KEY (kind), KEY (body));
INSERT INTO @NAME@ SELECT seq, md5(seq), (seq * 7919) % 1000, repeat('n', seq % 200),
    json_object('id', seq, 'tags', json_array(concat('t', seq % 9), concat('t', seq % 7))) FROM seq_1_to_30000;
SET SESSION group_concat_max_len = 64000000;
SELECT md5(group_concat(body ORDER BY note DESC, body SEPARATOR ',')) FROM @NAME@;
SELECT kind, count(*), max(body), sum(length(note)) FROM @NAME@ GROUP BY kind ORDER BY kind LIMIT 20;
SELECT sum(place) FROM (SELECT rank() OVER (PARTITION BY kind % 10 ORDER BY body) AS place FROM @NAME@) ranked;
SELECT count(*) FROM @NAME@ a JOIN @NAME@ b ON a.kind = b.kind AND a.id % 10 = b.id % 10 AND a.body < b.body;
SELECT count(DISTINCT substr(body, 1, 5)), count(DISTINCT json_extract(document, '$.tags')) FROM @NAME@;
SELECT count(*) FROM @NAME@ WHERE json_contains(document, '"t3"', '$.tags');
SELECT md5(group_concat(regexp_replace(body, '[aeiou0-4]+', '-') ORDER BY body)) FROM @NAME@ WHERE id < 10000;
DELIMITER //
CREATE PROCEDURE work_@NAME@()
BEGIN
    DECLARE i INT DEFAULT 0;
    DECLARE words LONGTEXT DEFAULT '';
    WHILE i < 3000 DO
        SET words = concat(words, md5(i));
        SET i = i + 1;
    END WHILE;
    SELECT length(words), md5(words);
END //
DELIMITER ;
CALL work_@NAME@();
UPDATE @NAME@ SET note = concat(upper(note), body) WHERE kind < 500;
DELETE FROM @NAME@ WHERE kind % 3 = 0;
SELECT count(*), sum(length(note)), md5(max(note)) FROM @NAME@;
ALTER TABLE @NAME@ ADD COLUMN more INT DEFAULT 7, ENGINE = Aria;
SELECT sum(more) FROM @NAME@;
