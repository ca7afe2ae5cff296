"""Computes the seven insights in chDB (embedded ClickHouse): one scan into a Memory table, then one file per insight.

Each alternative below was measured once with 4 M uniform rows, on a machine with other load. Its user time is
compared with two runs of this script (3.1 s). Differences below 10 % are not significant.
Slower: songs as LowCardinality, +33 %; MergeTree, +27 %.
Slower in one step (processor time): users as LowCardinality too (loading 3.6 s instead of 0.9 s);
best_effort timestamps (loading 0.9 s instead of 0.7 s); a dictionary instead of the join (enriched_logs 2.9 s
instead of 1.3 s, genres of users 1.3 s instead of 0.5 s).
No difference: hash or parallel_hash joins, two-level aggregation, compiled expressions, larger blocks (which
need more memory).
The type DateTime has no fractions of a second. The generated logs have none either.
"""

from chdb import session

from engine_common import ENRICHED, FAVORITES, RECOMMENDED, arguments, part

args = arguments()
db = session.Session()
for setting in (
    f"max_threads = {args.threads}",
    f"max_insert_threads = {args.threads}",
    "date_time_input_format = 'basic'",
    "date_time_output_format = 'iso'",
    "session_timezone = 'UTC'",
):
    db.query(f"SET {setting}")


def table(name, query):
    db.query(f"CREATE TABLE {name} ENGINE = Memory AS {query}")


def write(name, query):
    db.query(f"INSERT INTO FUNCTION file('{part(args, name)}', CSVWithNames) {query}")


table(
    "songs",
    f"""SELECT *, lower(mood) = 'sad' AS sad, lower(mood) = 'happy' AS happy FROM file('{args.songs}', CSVWithNames,
        'song_id String, title String, artist String, genre String, mood String')""",
)
# Timestamps are parsed, because a text column would accept any value. Durations are exact decimals.
table(
    "plays",
    f"""SELECT * FROM file('{args.logs}', CSVWithNames,
        'user_id String, song_id String, timestamp DateTime, duration_sec Decimal32(3)')""",
)
# The only expensive aggregate, per user and genre. Favourite genres, loyalty and sad plays are computed from it.
table(
    "tastes",
    """SELECT user_id, genre, count() AS plays, countIf(sad) AS sad, countIf(happy) AS happy
       FROM plays JOIN songs USING (song_id) GROUP BY user_id, genre""",
)
table(
    "popularity",
    "SELECT song_id, count() AS plays, toInt64(sum(duration_sec) * 1000) AS millis FROM plays GROUP BY song_id",
)

write("user_favorite_genres", FAVORITES)
write(  # uses integers until the last step, because a mean of floats rounds some ties incorrectly
    "avg_listen_time_per_song",
    """SELECT song_id, intDiv(2 * millis + 10 * plays, 20 * plays) / 100 AS avg_duration
       FROM popularity ORDER BY song_id""",
)
write(
    "top_songs_this_week",
    """SELECT song_id, count() AS plays FROM plays
       WHERE timestamp >= toDateTime((SELECT toMonday(max(timestamp)) FROM plays))
       GROUP BY song_id ORDER BY plays DESC, song_id LIMIT 10""",
)
# Happy songs are ranked once. For a listener who has played n Happy songs, only the first n + 3 Happy songs matter.
# The query can therefore filter out most plays of Happy songs before it removes duplicates.
table(
    "happy",
    """SELECT song_id, title, toUInt32(row_number() OVER (ORDER BY popularity.plays DESC, song_id)) AS place
       FROM songs LEFT JOIN popularity USING (song_id) WHERE happy""",
)
table(
    "listeners",
    f"""SELECT user_id, sum(sad) AS sad_count, toUInt32(sum(happy) + {RECOMMENDED}) AS reach
        FROM tastes GROUP BY user_id HAVING sad_count > 0""",
)
table(
    "heard",
    """SELECT user_id, groupUniqArray(place) AS places
       FROM (SELECT user_id, place FROM plays
             JOIN (SELECT song_id, place FROM happy WHERE place <= (SELECT max(reach) FROM listeners)) AS near
             USING (song_id)) AS played
       JOIN listeners USING (user_id) WHERE place <= reach GROUP BY user_id""",
)
write(
    "happy_recommendations",
    f"""SELECT user_id, song_id, sad_count, title
        FROM (SELECT user_id, sad_count, arrayJoin(arraySlice(
                  arrayFilter(place -> NOT has(places, place),
                              arrayMap(place -> toUInt32(place), range(1, length(places) + {RECOMMENDED + 1}))),
                  1, {RECOMMENDED})) AS place
              FROM listeners LEFT JOIN heard USING (user_id)) AS wanted
        JOIN happy USING (place) ORDER BY user_id, place""",
)
write(
    "genre_loyalty_scores",
    """SELECT user_id, genre, plays AS genre_plays, total AS total_plays,
              intDiv(20000 * plays + total, 2 * total) / 10000 AS loyalty_score
       FROM (SELECT *, sum(plays) OVER (PARTITION BY user_id) AS total FROM tastes WHERE genre <> '')
       WHERE plays * 10 > total * 8 ORDER BY user_id, genre""",
)
write(
    "night_owl_users",
    "SELECT DISTINCT user_id FROM plays WHERE toHour(timestamp) < 5 ORDER BY user_id",
)
if args.enriched:
    write(
        ENRICHED,
        """SELECT song_id, user_id, timestamp, duration_sec, title, artist, genre, mood
           FROM plays JOIN songs USING (song_id)""",
    )
