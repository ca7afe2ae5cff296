-- Which songs are played most in one week? Songs in the catalog or not.
--
-- $limit (BIGINT): number of songs.
-- $week (INT, may be NULL): the Monday of the week in days from 1970-01-01; NULL is the week of the latest play.

WITH chosen AS (
    SELECT COALESCE(CAST($week AS INT), MAX(week)) AS week FROM song_weeks
)
SELECT song_id, SUM(plays) AS plays
FROM chosen JOIN song_weeks USING (week)
GROUP BY song_id
ORDER BY plays DESC, song_id
LIMIT $limit
