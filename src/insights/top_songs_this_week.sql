-- Which songs are played most in one week? The result includes songs outside the catalog.
--
-- $limit (BIGINT): maximum number of songs.
-- $week (INT, may be NULL): the Monday of the week in days since 1970-01-01; NULL is the week of the latest play.

WITH chosen AS (
    SELECT COALESCE(CAST($week AS INT), MAX(week)) AS week FROM song_weeks
)
SELECT song_id, SUM(plays) AS plays
FROM chosen JOIN song_weeks USING (week)
GROUP BY song_id
ORDER BY plays DESC, song_id
LIMIT $limit
