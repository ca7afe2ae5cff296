-- Which listeners play one genre almost exclusively? The result has no rows if there is no such listener.
--
-- $threshold (BIGINT): the share that a genre must exceed, in billionths.
-- $decimals (BIGINT, 0 to 18): number of decimal places of the score; the score is rounded half away from zero.
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
        -- Twice the plays in units of the last digit, plus a half. So `scaled / halves` is the rounded share.
        2 * CAST(plays AS DECIMAL(38, 0)) * CAST(RPAD('1', CAST($decimals AS BIGINT) + 1, '0') AS DECIMAL(38, 0))
            + total AS scaled,
        CAST(2 * total AS DECIMAL(38, 0)) AS halves
    FROM shares
    WHERE CAST(plays AS DECIMAL(38, 0)) * 1000000000
        > CAST(total AS DECIMAL(38, 0)) * CAST(CAST($threshold AS BIGINT) AS DECIMAL(38, 0))
),
rounded AS (
    -- The subtraction makes the division exact, so the number of digits of a decimal quotient does not matter.
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
