-- How long is each song played on average? The result has all songs with plays, even songs outside the catalog.
--
-- $decimals (BIGINT, 0 to 18): number of decimal places; the mean is rounded half away from zero.
--
-- The mean is computed from integers, because a mean of floats rounds some ties in the wrong direction. The whole
-- part and the remainder are computed separately, so that no value overflows: 2 * remainder * 10^18 has 32 digits,
-- and 38 digits are allowed.

WITH totals AS (
    SELECT song_id, SUM(millis) AS millis, 1000 * SUM(plays) AS parts
    FROM song_weeks
    GROUP BY song_id
),
means AS (
    SELECT
        song_id,
        millis / parts AS whole,
        -- Twice the remainder in units of the last digit, plus a half. So `scaled / halves` is the rounded remainder.
        2 * CAST(millis % parts AS DECIMAL(38, 0)) * CAST(RPAD('1', CAST($decimals AS BIGINT) + 1, '0') AS DECIMAL(38, 0))
            + parts AS scaled,
        CAST(2 * parts AS DECIMAL(38, 0)) AS halves
    FROM totals
),
rounded AS (
    -- The subtraction makes the division exact, so the number of digits of a decimal quotient does not matter.
    SELECT song_id, whole, CAST((scaled - scaled % halves) / halves AS BIGINT) AS fraction
    FROM means
),
digits AS (
    SELECT
        song_id,
        -- The remainder may have been rounded up to a whole second.
        whole + fraction / unit AS whole,
        RTRIM(LPAD(CAST(fraction % unit AS VARCHAR), CAST($decimals AS BIGINT), '0'), '0') AS fraction
    FROM (SELECT *, CAST(RPAD('1', CAST($decimals AS BIGINT) + 1, '0') AS BIGINT) AS unit FROM rounded)
)
SELECT song_id, ARROW_CAST(CAST(whole AS VARCHAR) || '.' || CASE fraction WHEN '' THEN '0' ELSE fraction END, 'Utf8') AS avg_duration
FROM digits
ORDER BY song_id
