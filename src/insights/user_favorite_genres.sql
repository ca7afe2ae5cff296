-- Which genre does each listener play most?
--
-- $ties: 'all' keeps every genre that shares the first place; 'first' keeps only the first of them in byte order.

WITH tastes AS (
    SELECT user_id, genre, SUM(plays) AS plays
    FROM songs JOIN listens USING (song_id)
    WHERE genre <> ''
    GROUP BY user_id, genre
),
ranked AS (
    -- One sort computes both columns. `place` is 1 for all favourites, `choice` is 1 only for the first favourite.
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
