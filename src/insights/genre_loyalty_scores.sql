-- Which users play one genre far more than all others? No row if there are none.
--
-- $threshold (BIGINT): the share that a genre must exceed, in billionths.
-- $decimals (BIGINT, 0 to 18): digits of the score after the point, rounded half away from zero.
--
-- Shares are compared and rounded as integers, never as floats.

WITH tastes AS (
    SELECT user_id, genre, SUM(plays) AS plays
    FROM songs JOIN listens USING (song_id)
    WHERE genre <> ''
    GROUP BY user_id, genre
),
shares AS (
    SELECT user_id, genre, plays, SUM(plays) OVER (PARTITION BY user_id) AS total
    FROM tastes
),
loyal AS (
    SELECT
        user_id, genre, plays, total,
        -- Twice the plays in units of the last digit, plus a half: `scaled / halves` is the rounded share.
        2 * CAST(plays AS DECIMAL(38, 0)) * CAST(RPAD('1', CAST($decimals AS BIGINT) + 1, '0') AS DECIMAL(38, 0))
            + total AS scaled,
        CAST(2 * total AS DECIMAL(38, 0)) AS halves
    FROM shares
    WHERE CAST(plays AS DECIMAL(38, 0)) * 1000000000
        > CAST(total AS DECIMAL(38, 0)) * CAST(CAST($threshold AS BIGINT) AS DECIMAL(38, 0))
),
rounded AS (
    -- Less its remainder, the division comes out even, however many digits a decimal quotient has.
    SELECT user_id, genre, plays, total, CAST((scaled - scaled % halves) / halves AS BIGINT) AS score
    FROM loyal
),
digits AS (
    SELECT
        user_id, genre, plays, total,
        score / unit AS whole,
        RTRIM(LPAD(CAST(score % unit AS VARCHAR), CAST($decimals AS BIGINT), '0'), '0') AS fraction
    FROM (SELECT *, CAST(RPAD('1', CAST($decimals AS BIGINT) + 1, '0') AS BIGINT) AS unit FROM rounded)
)
SELECT
    user_id, genre,
    plays AS genre_plays,
    total AS total_plays,
    ARROW_CAST(CAST(whole AS VARCHAR) || '.' || CASE fraction WHEN '' THEN '0' ELSE fraction END, 'Utf8') AS loyalty_score
FROM digits
ORDER BY user_id, genre
