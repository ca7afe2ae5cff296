-- How long is each song listened to, on average? All songs with a play, in the catalog or not.
--
-- $decimals (BIGINT, 0 to 18): digits after the point, rounded half away from zero.
--
-- The mean is worked out from integers, since a mean of floats rounds some ties the wrong way. Its whole
-- part and its rest are kept apart, so that nothing overflows: 2 * rest * 10^18 has 32 digits of 38.

WITH totals AS (
    SELECT song_id, SUM(millis) AS millis, 1000 * SUM(plays) AS parts
    FROM song_weeks
    GROUP BY song_id
),
means AS (
    SELECT
        song_id,
        millis / parts AS whole,
        -- Twice the rest in units of the last digit, plus a half: `scaled / halves` is the rounded rest.
        2 * CAST(millis % parts AS DECIMAL(38, 0)) * CAST(RPAD('1', CAST($decimals AS BIGINT) + 1, '0') AS DECIMAL(38, 0))
            + parts AS scaled,
        CAST(2 * parts AS DECIMAL(38, 0)) AS halves
    FROM totals
),
rounded AS (
    -- Less its remainder, the division comes out even, however many digits a decimal quotient has.
    SELECT song_id, whole, CAST((scaled - scaled % halves) / halves AS BIGINT) AS fraction
    FROM means
),
digits AS (
    SELECT
        song_id,
        -- The rest may have been rounded up to a whole second.
        whole + fraction / unit AS whole,
        RTRIM(LPAD(CAST(fraction % unit AS VARCHAR), CAST($decimals AS BIGINT), '0'), '0') AS fraction
    FROM (SELECT *, CAST(RPAD('1', CAST($decimals AS BIGINT) + 1, '0') AS BIGINT) AS unit FROM rounded)
)
SELECT song_id, ARROW_CAST(CAST(whole AS VARCHAR) || '.' || CASE fraction WHEN '' THEN '0' ELSE fraction END, 'Utf8') AS avg_duration
FROM digits
ORDER BY song_id
