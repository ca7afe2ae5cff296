-- Which genre or genres does each user play most?
--
-- $ties: 'all' keeps every genre that shares the first place, 'first' the alphabetically first of them.

WITH tastes AS (
    SELECT user_id, genre, SUM(plays) AS plays
    FROM songs JOIN listens USING (song_id)
    WHERE genre <> ''
    GROUP BY user_id, genre
),
ranked AS (
    -- One sort serves both: `place` is 1 for all favourites, `choice` for the first of them.
    SELECT
        user_id, genre, plays,
        RANK() OVER (PARTITION BY user_id ORDER BY plays DESC) AS place,
        ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY plays DESC, genre) AS choice
    FROM tastes
)
SELECT user_id, genre, plays AS play_count
FROM ranked
WHERE place = 1 AND (choice = 1 OR CAST($ties AS VARCHAR) = 'all')
ORDER BY user_id, genre
