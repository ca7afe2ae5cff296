-- Which happy songs are new to listeners of sad songs? The result has the most played happy songs that each such
-- listener has never played.
--
-- $per_user (BIGINT): maximum number of songs per listener.
-- $min_sad_plays (BIGINT): minimum number of sad plays of a sad listener, at least 1.
-- $min_sad_share (BIGINT): minimum share of sad plays in the matched plays, in billionths.
-- $dominant (BOOLEAN): whether no mood may have more plays than the sad mood.
--
-- Happy songs are ranked once for all listeners. If a listener has played n happy songs, the recommendations are
-- in the first n + $per_user places. `listens` is the only large table, and it is read once. `ranked` is used
-- twice, but it is small.

WITH catalog AS (
    -- The comparison of moods ignores ASCII case, and spaces and tabs around them. LOWER() would also change letters
    -- outside ASCII.
    SELECT
        song_id, title,
        TRANSLATE(BTRIM(mood, CONCAT(' ', CHR(9))), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') AS mood
    FROM songs
),
popularity AS (
    -- This table includes songs without plays, so that no outer join is needed.
    SELECT song_id, SUM(plays) AS plays
    FROM (SELECT song_id, plays FROM song_weeks UNION ALL SELECT song_id, 0 AS plays FROM songs)
    GROUP BY song_id
),
ranked AS (
    SELECT
        song_id, title, mood,
        CASE WHEN mood = 'happy'
            -- Happy songs come first, so that no PARTITION BY is needed. With PARTITION BY, a filter would make the
            -- mood a constant. The engine would then drop the mood from the sort, and executors would miss it.
            THEN CAST(ROW_NUMBER() OVER (ORDER BY mood = 'happy' DESC, plays DESC, song_id) AS BIGINT)
        END AS place
    FROM catalog JOIN popularity USING (song_id)
),
moods AS (
    -- One row per user and mood; for the happy mood, one row per user and song.
    SELECT user_id, mood, place, SUM(plays) AS plays
    FROM ranked JOIN listens USING (song_id)
    GROUP BY user_id, mood, place
),
listeners AS (
    SELECT
        user_id,
        SUM(plays) AS matched,
        SUM(plays) FILTER (WHERE mood = 'sad') AS sad_count,
        SUM(plays) FILTER (WHERE mood = 'happy') AS happy_count,
        MAX(plays) FILTER (WHERE mood <> '' AND mood <> 'happy') AS strongest,
        ARRAY_AGG(place) FILTER (WHERE mood = 'happy') AS heard
    FROM moods
    GROUP BY user_id
),
sad_listeners AS (
    SELECT user_id, sad_count, COALESCE(heard, []) AS heard
    FROM listeners
    WHERE sad_count >= CAST($min_sad_plays AS BIGINT)
        AND CAST(sad_count AS DECIMAL(38, 0)) * 1000000000
            >= CAST(matched AS DECIMAL(38, 0)) * CAST(CAST($min_sad_share AS BIGINT) AS DECIMAL(38, 0))
        AND (NOT CAST($dominant AS BOOLEAN) OR sad_count >= GREATEST(strongest, COALESCE(happy_count, 0)))
),
limits AS (
    -- There cannot be more recommendations than happy songs, even if $per_user is larger.
    SELECT LEAST(CAST($per_user AS BIGINT), COUNT(*)) AS most FROM catalog WHERE mood = 'happy'
),
candidates AS (
    SELECT
        user_id, sad_count,
        UNNEST(ARRAY_SLICE(
            ARRAY_EXCEPT(RANGE(1, CAST(ARRAY_LENGTH(heard) AS BIGINT) + most + 1), heard), 1, most
        )) AS place
    FROM sad_listeners CROSS JOIN limits
)
-- A line end in an id is written as a space.
SELECT
    user_id,
    REPLACE(REPLACE(REPLACE(song_id, CONCAT(CHR(13), CHR(10)), ' '), CHR(10), ' '), CHR(13), ' ') AS song_id,
    sad_count, title
FROM ranked JOIN candidates USING (place)
WHERE mood = 'happy'
ORDER BY user_id, place
