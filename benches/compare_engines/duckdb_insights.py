"""Computes the seven insights in DuckDB: one scan into a native table, then one COPY per insight.

Each alternative below was measured once with 4 M uniform rows, on a machine with other load. Its user time is
compared with two runs of this script (4.2 s and 4.4 s). Differences below 10 % are not significant.
Slower: plays grouped by user and song first, +40 to 46 % (nearly all pairs are distinct); larger buffers of
the CSV reader, +18 to 24 %; uncompressed columns in memory, +10 to 15 %.
Slower in one step (processor time): timestamps as text (enriched_logs 2.8 s instead of 2.2 s); a join with the
songs while loading (loading 1.7 s instead of 0.9 s, but later joins take 0.6 s less).
No clear difference: one file instead of one file per thread; TIMESTAMPFORMAT instead of strftime; timestamps in
DuckDB's own format (4 to 8 % less time, but not the required format).
"""

import duckdb

from engine_common import ENRICHED, RECOMMENDED, TOP_SONGS, arguments, part

args = arguments()
db = duckdb.connect()
db.execute(f"SET threads = {args.threads}")
db.execute("SET preserve_insertion_order = false")


def write(name, query):
    db.execute(f"COPY ({query}) TO '{part(args, name)}' (HEADER)")


def write_parts(name, query):
    """Writes one file per thread."""
    db.execute(f"""COPY ({query}) TO '{args.output / name}'
        (FORMAT csv, HEADER, PER_THREAD_OUTPUT, FILENAME_PATTERN 'part-{{i}}', OVERWRITE_OR_IGNORE)""")


db.execute(
    f"""CREATE TABLE songs AS
        SELECT song_id, title, artist, coalesce(genre, '') AS genre, coalesce(mood, '') AS mood,
               lower(mood) = 'sad' AS sad, lower(mood) = 'happy' AS happy
        FROM read_csv('{args.songs}', header = true, all_varchar = true)"""
)
# Timestamps are parsed, because a text column would accept any value. Durations are exact decimals.
COLUMNS = """{'user_id': 'VARCHAR', 'song_id': 'VARCHAR', 'timestamp': 'TIMESTAMP', 'duration_sec': 'DECIMAL(8, 3)'}"""
if args.logs.suffix == ".jsonl":
    source = f"read_json('{args.logs}', format = 'newline_delimited', columns = {COLUMNS})"
else:
    source = f"""read_csv('{args.logs}', header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
        columns = {COLUMNS})"""
db.execute(f"CREATE TABLE plays AS SELECT * FROM {source}")
# The only expensive aggregate, per user and genre. Favourite genres, loyalty and sad plays are computed from it.
db.execute(
    """CREATE TABLE tastes AS
       SELECT user_id, genre, count(*) AS plays, count_if(sad) AS sad, count_if(happy) AS happy
       FROM plays JOIN songs USING (song_id) GROUP BY ALL"""
)
db.execute(
    """CREATE TABLE popularity AS
       SELECT song_id, count(*) AS plays, (sum(duration_sec) * 1000)::BIGINT AS millis FROM plays GROUP BY song_id"""
)

write(
    "user_favorite_genres",
    """SELECT user_id, genre, plays AS play_count FROM tastes WHERE genre <> ''
       QUALIFY rank() OVER (PARTITION BY user_id ORDER BY plays DESC) = 1 ORDER BY user_id, genre""",
)
write(  # uses integers until the last step, because a mean of floats rounds some ties incorrectly
    "avg_listen_time_per_song",
    "SELECT song_id, (2 * millis + 10 * plays) // (20 * plays) / 100 AS avg_duration FROM popularity ORDER BY song_id",
)
write("top_songs_this_week", TOP_SONGS)
# Happy songs are ranked once. For a listener who has played n Happy songs, only the first n + 3 Happy songs matter.
# The query can therefore filter out most plays of Happy songs before it removes duplicates.
db.execute(
    """CREATE TABLE happy AS
       SELECT song_id, title, row_number() OVER (ORDER BY coalesce(plays, 0) DESC, song_id) AS place
       FROM songs LEFT JOIN popularity USING (song_id) WHERE happy"""
)
db.execute(
    f"""CREATE TABLE listeners AS
        SELECT user_id, sum(sad)::BIGINT AS sad_count, sum(happy) + {RECOMMENDED} AS reach
        FROM tastes GROUP BY user_id HAVING sum(sad) > 0"""
)
db.execute(
    """CREATE TABLE heard AS
       SELECT DISTINCT user_id, place
       FROM (SELECT user_id, place FROM plays JOIN happy USING (song_id)
             WHERE place <= (SELECT max(reach) FROM listeners)) JOIN listeners USING (user_id)
       WHERE place <= reach"""
)
write(
    "happy_recommendations",
    f"""WITH heard_of AS (SELECT user_id, count(*) AS songs FROM heard GROUP BY user_id),
             candidates AS (SELECT user_id, sad_count, unnest(range(1, coalesce(songs, 0) + {RECOMMENDED + 1})) AS place
                            FROM listeners LEFT JOIN heard_of USING (user_id)),
             wanted AS (SELECT * FROM candidates ANTI JOIN heard USING (user_id, place)
                        QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY place) <= {RECOMMENDED})
        SELECT user_id, song_id, sad_count, title FROM wanted JOIN happy USING (place) ORDER BY user_id, place""",
)
write(
    "genre_loyalty_scores",
    """SELECT user_id, genre, plays AS genre_plays, total AS total_plays,
              (20000 * plays + total) // (2 * total) / 10000 AS loyalty_score
       FROM (SELECT user_id, genre, plays, (sum(plays) OVER (PARTITION BY user_id))::BIGINT AS total
             FROM tastes WHERE genre <> '')
       WHERE plays * 10 > total * 8 ORDER BY user_id, genre""",
)
write(
    "night_owl_users",
    "SELECT DISTINCT user_id FROM plays WHERE hour(timestamp) < 5 ORDER BY user_id",
)
if args.enriched:
    write_parts(
        ENRICHED,
        """SELECT song_id, user_id, strftime(timestamp, '%Y-%m-%dT%H:%M:%SZ') AS timestamp, duration_sec,
                  title, artist, genre, mood FROM plays JOIN songs USING (song_id)""",
    )
