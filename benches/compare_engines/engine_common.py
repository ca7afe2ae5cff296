"""The shared code of the engine scripts: arguments, output folders, and queries that several engines accept.

Usage: ENGINE_insights.py LOGS SONGS OUTPUT THREADS [--without-enriched-logs]

LOGS is a .csv, .csv.gz or .csv.zst file, a pattern, or a folder. A folder stands for all *.csv files in it.
"""

import argparse
from pathlib import Path

SNAPSHOTS = [
    "user_favorite_genres",
    "avg_listen_time_per_song",
    "top_songs_this_week",
    "happy_recommendations",
    "genre_loyalty_scores",
    "night_owl_users",
]
ENRICHED = "enriched_logs"
RECOMMENDED = 3

# Several engines accept these queries unchanged. All other queries use the dialect of one engine.
FAVORITES = """SELECT user_id, genre, plays AS play_count
    FROM (SELECT *, max(plays) OVER (PARTITION BY user_id) AS most FROM tastes WHERE genre <> '')
    WHERE plays = most ORDER BY user_id, genre"""
TOP_SONGS = """SELECT song_id, count(*) AS plays FROM plays
    WHERE timestamp >= (SELECT date_trunc('week', max(timestamp)) FROM plays)
    GROUP BY song_id ORDER BY plays DESC, song_id LIMIT 10"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path)
    parser.add_argument("songs", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("threads", type=int)
    parser.add_argument("--without-enriched-logs", dest="enriched", action="store_false")
    args = parser.parse_args()
    if args.logs.is_dir():
        args.logs = args.logs / "*.csv"
    for name in SNAPSHOTS + [ENRICHED] * args.enriched:
        (args.output / name).mkdir(parents=True, exist_ok=True)
    return args


def part(args, name):
    """Returns the path of an insight's output file."""
    return args.output / name / "part-00000.csv"
