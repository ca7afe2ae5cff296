"""The seven insights in DuckDB: one scan into a native table, then one COPY per insight.

Usage: duckdb_insights.py LOGS.csv SONGS.csv OUTPUT_FOLDER THREADS
"""

import os
import sys

import duckdb

logs, songs, output, threads = sys.argv[1:5]
for name in (
    "user_favorite_genres",
    "avg_listen_time_per_song",
    "top_songs_this_week",
    "happy_recommendations",
    "genre_loyalty_scores",
    "night_owl_users",
    "enriched_logs",
):
    os.makedirs(f"{output}/{name}", exist_ok=True)

db = duckdb.connect()
db.execute(f"SET threads = {int(threads)}")
db.execute("SET preserve_insertion_order = false")


def write(name, query):
    db.execute(f"COPY ({query}) TO '{output}/{name}/part-00000.csv' (HEADER)")


db.execute(
    f"""CREATE TABLE songs AS SELECT * FROM read_csv('{songs}', header = true, all_varchar = true)"""
)
db.execute(
    f"""CREATE TABLE plays AS SELECT * FROM read_csv('{logs}', header = true, auto_detect = false, delim = ',', quote = '"',
        escape = '"', columns = {{'user_id': 'VARCHAR', 'song_id': 'VARCHAR', 'timestamp': 'TIMESTAMP',
        'duration_sec': 'DECIMAL(8, 3)'}})"""
)
# Three of the insights need plays per user and song with the metadata; it is made once.
db.execute("CREATE TABLE listens AS SELECT user_id, song_id, count(*) AS plays FROM plays GROUP BY ALL")
db.execute(
    """CREATE TABLE genre_plays AS
       SELECT user_id, genre, sum(plays) AS plays FROM listens JOIN songs USING (song_id)
       WHERE genre <> '' GROUP BY ALL"""
)

write(
    "user_favorite_genres",
    """SELECT user_id, genre, plays AS play_count FROM genre_plays
       QUALIFY rank() OVER (PARTITION BY user_id ORDER BY plays DESC) = 1 ORDER BY user_id, genre""",
)
write(
    "avg_listen_time_per_song",
    """SELECT song_id, round(sum(duration_sec) / count(*), 2) AS avg_duration FROM plays
       GROUP BY song_id ORDER BY song_id""",
)
write(
    "top_songs_this_week",
    """SELECT song_id, count(*) AS plays FROM plays
       WHERE timestamp >= (SELECT date_trunc('week', max(timestamp)) FROM plays)
       GROUP BY song_id ORDER BY plays DESC, song_id LIMIT 10""",
)
# Happy songs are ranked once; a user needs only the first (happy songs played + 3) of them.
write(
    "happy_recommendations",
    """WITH popularity AS (SELECT song_id, sum(plays) AS plays FROM listens GROUP BY song_id),
       happy AS (SELECT song_id, title, row_number() OVER (ORDER BY coalesce(plays, 0) DESC, song_id) AS place
                 FROM songs LEFT JOIN popularity USING (song_id) WHERE lower(mood) = 'happy'),
       sad AS (SELECT user_id, sum(plays) AS sad_count FROM listens JOIN songs USING (song_id)
               WHERE lower(mood) = 'sad' GROUP BY user_id),
       heard AS (SELECT user_id, list(place ORDER BY place) AS places FROM listens JOIN happy USING (song_id)
                 GROUP BY user_id),
       wanted AS (SELECT user_id, sad_count, unnest(list_filter(range(1, coalesce(len(places), 0) + 4),
                         lambda place: NOT list_contains(coalesce(places, []), place))[:3]) AS place
                  FROM sad LEFT JOIN heard USING (user_id))
       SELECT user_id, song_id, sad_count, title FROM wanted JOIN happy USING (place) ORDER BY user_id, place""",
)
write(
    "genre_loyalty_scores",
    """WITH totals AS (SELECT user_id, sum(plays) AS total FROM genre_plays GROUP BY user_id)
       SELECT user_id, genre, plays AS genre_plays, total AS total_plays, round(plays / total, 4) AS loyalty_score
       FROM genre_plays JOIN totals USING (user_id) WHERE plays * 10 > total * 8 ORDER BY user_id, genre""",
)
write(
    "night_owl_users",
    "SELECT DISTINCT user_id FROM plays WHERE hour(timestamp) < 5 ORDER BY user_id",
)
write(
    "enriched_logs",
    """SELECT song_id, user_id, strftime(timestamp, '%Y-%m-%dT%H:%M:%SZ') AS timestamp, duration_sec,
              title, artist, genre, mood FROM plays JOIN songs USING (song_id)""",
)
