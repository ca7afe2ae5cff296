"""Maintains two of the seven insights in Pathway. The input is a folder that receives new files.

Usage: pathway_insights.py INCOMING SONGS.csv OUTPUT_FOLDER OUTPUT(changes|snapshots) COMMIT_MS

`changes` uses Pathway's own connector: the output file grows by one line for each inserted or removed row. `snapshots`
keeps the tables in Python, and replaces the output file by rename, as music-insights does.
Without a licence key, Pathway sends no telemetry. Its monitoring is off.
"""

import os
import sys

import pathway as pw

incoming, songs, output, kind, commit = sys.argv[1:]


class Play(pw.Schema):
    user_id: str
    song_id: str
    timestamp: str
    duration_sec: float


class Song(pw.Schema):
    song_id: str = pw.column_definition(primary_key=True)
    genre: str


plays = pw.io.csv.read(incoming, schema=Play, mode="streaming", autocommit_duration_ms=int(commit))
catalog = pw.io.csv.read(songs, schema=Song, mode="static")

averages = plays.groupby(plays.song_id).reduce(plays.song_id, avg_duration=pw.reducers.avg(plays.duration_sec))
matched = plays.join(catalog, plays.song_id == catalog.song_id).select(plays.user_id, catalog.genre)
counts = matched.groupby(matched.user_id, matched.genre).reduce(
    matched.user_id, matched.genre, play_count=pw.reducers.count()
)
most = counts.groupby(counts.user_id).reduce(counts.user_id, play_count=pw.reducers.max(counts.play_count))
favorites = counts.join(
    most, counts.user_id == most.user_id, counts.play_count == most.play_count
).select(counts.user_id, counts.genre, counts.play_count)


def snapshots(table, name, columns):
    """Publishes the whole table whenever Pathway completes a logical time."""
    rows = {}
    aside = f"{output}/.{name}"

    def change(key, row, time, is_addition):
        if is_addition:
            rows[key] = ",".join(str(row[column]) for column in columns)
        elif key in rows:
            del rows[key]

    def publish(time):
        with open(aside, "w") as file:
            file.write(",".join(columns) + "\n" + "\n".join(rows.values()) + "\n")
        os.rename(aside, f"{output}/{name}/part-00000.csv")

    pw.io.subscribe(table, on_change=change, on_time_end=publish)


for table, name, columns in (
    (averages, "avg_listen_time_per_song", ["song_id", "avg_duration"]),
    (favorites, "user_favorite_genres", ["user_id", "genre", "play_count"]),
):
    os.makedirs(f"{output}/{name}", exist_ok=True)
    if kind == "changes":
        pw.io.csv.write(table, f"{output}/{name}/part-00000.csv")
    else:
        snapshots(table, name, columns)

pw.run(monitoring_level=pw.MonitoringLevel.NONE, with_http_server=False)
