"""Computes the seven insights in DataFusion: one scan into an in-memory table, then one COPY per insight.

Each alternative below was measured once with 4 M uniform rows, on a machine with other load. Its user time is
compared with two runs of this script (3.8 s and 3.9 s). Differences below 10 % are not significant.
Slower: a scan per query instead of the table, +64 to 69 %; the option timestamp_format, +20 to 23 %; Utf8
instead of Utf8View, +11 to 14 %. Dictionary columns make the aggregates take two to four times as long
(measured with 500,000 rows).
No difference: larger batches, more partitions than threads, a single file for enriched_logs.
"""

import pyarrow
from datafusion import SessionConfig, SessionContext

from engine_common import ENRICHED, FAVORITES, RECOMMENDED, TOP_SONGS, arguments, part

args = arguments()
context = SessionContext(SessionConfig().with_target_partitions(args.threads))
text = pyarrow.string_view()


def read(name, path, columns):
    compression = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    # DataFusion accepts a folder, but treats a pattern with a slash as a single file.
    path = path.parent if path.name == "*.csv" else path
    context.register_csv(name, f"{path}/" if path.is_dir() else path, schema=pyarrow.schema(columns),
                         file_extension=path.suffix or ".csv", file_compression_type=compression)


def table(name, query):
    context.register_table(name, context.sql(query).cache())


def write(name, query, target=None):
    context.sql(f"COPY ({query}) TO '{target or part(args, name)}' STORED AS CSV OPTIONS ('format.has_header' 'true')").collect()


read("catalog", args.songs, [(name, text) for name in ("song_id", "title", "artist", "genre", "mood")])
table(
    "songs",
    """SELECT song_id, title, artist, coalesce(genre, '') AS genre, coalesce(mood, '') AS mood,
              coalesce(lower(mood) = 'sad', false) AS sad, coalesce(lower(mood) = 'happy', false) AS happy FROM catalog""",
)
# Timestamps are parsed, because a text column would accept any value. Durations are exact decimals.
read("logs", args.logs, [("user_id", text), ("song_id", text), ("timestamp", pyarrow.timestamp("s")),
                         ("duration_sec", pyarrow.decimal128(8, 3))])
table("plays", "SELECT * FROM logs")
# The only expensive aggregate, per user and genre. Favourite genres, loyalty and sad plays are computed from it.
table(
    "tastes",
    """SELECT user_id, genre, count(*) AS plays, sum(CAST(sad AS BIGINT)) AS sad, sum(CAST(happy AS BIGINT)) AS happy
       FROM plays JOIN songs USING (song_id) GROUP BY user_id, genre""",
)
table(
    "popularity",
    """SELECT song_id, count(*) AS plays, CAST(sum(duration_sec) * 1000 AS BIGINT) AS millis
       FROM plays GROUP BY song_id""",
)

write("user_favorite_genres", FAVORITES)
write(  # uses integers until the last step, because a mean of floats rounds some ties incorrectly
    "avg_listen_time_per_song",
    """SELECT song_id, CAST((2 * millis + 10 * plays) / (20 * plays) AS DOUBLE) / 100 AS avg_duration
       FROM popularity ORDER BY song_id""",
)
write("top_songs_this_week", TOP_SONGS)
# Happy songs are ranked once. For a listener who has played n Happy songs, only the first n + 3 Happy songs matter.
# The query can therefore filter out most plays of Happy songs before it removes duplicates.
table(
    "happy",
    """SELECT song_id, title, CAST(row_number() OVER (ORDER BY coalesce(plays, 0) DESC, song_id) AS BIGINT) AS place
       FROM songs LEFT JOIN popularity USING (song_id) WHERE happy""",
)
table(
    "listeners",
    f"""SELECT user_id, sum(sad) AS sad_count, sum(happy) + {RECOMMENDED} AS reach
        FROM tastes GROUP BY user_id HAVING sum(sad) > 0""",
)
table(
    "heard",
    """SELECT DISTINCT user_id, place
       FROM (SELECT user_id, place FROM plays JOIN happy USING (song_id)
             WHERE place <= (SELECT max(reach) FROM listeners)) JOIN listeners USING (user_id)
       WHERE place <= reach""",
)
table(
    "candidates",
    f"""SELECT user_id, sad_count, unnest(range(1, coalesce(songs, 0) + {RECOMMENDED + 1})) AS place
        FROM listeners LEFT JOIN (SELECT user_id, count(*) AS songs FROM heard GROUP BY user_id) USING (user_id)""",
)
write(
    "happy_recommendations",
    f"""SELECT user_id, song_id, sad_count, title
        FROM (SELECT candidates.*, row_number() OVER (PARTITION BY user_id ORDER BY place) AS choice
              FROM candidates LEFT ANTI JOIN heard USING (user_id, place)) JOIN happy USING (place)
        WHERE choice <= {RECOMMENDED} ORDER BY user_id, place""",
)
write(
    "genre_loyalty_scores",
    """SELECT user_id, genre, plays AS genre_plays, total AS total_plays,
              CAST((20000 * plays + total) / (2 * total) AS DOUBLE) / 10000 AS loyalty_score
       FROM (SELECT *, sum(plays) OVER (PARTITION BY user_id) AS total FROM tastes WHERE genre <> '')
       WHERE plays * 10 > total * 8 ORDER BY user_id, genre""",
)
write(
    "night_owl_users",
    "SELECT DISTINCT user_id FROM plays WHERE date_part('hour', timestamp) < 5 ORDER BY user_id",
)
if args.enriched:
    write(
        ENRICHED,
        """SELECT song_id, user_id, concat(arrow_cast(timestamp, 'Utf8View'), 'Z') AS timestamp, duration_sec,
                  title, artist, genre, mood FROM plays JOIN songs USING (song_id)""",
        target=f"{args.output / ENRICHED}/",
    )
