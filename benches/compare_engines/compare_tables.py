"""Compares two outputs, ignoring the order of rows and the format of numbers.

Usage: compare_tables.py OURS THEIRS [--without-enriched-logs]

The comparison is a separate process for two reasons. It needs DuckDB. It also needs a lot of memory, and the memory of
a large parent process would count as memory of the measured processes. If the outputs differ, the script prints the
name of the table and the first different rows, and exits with 1.
"""

import argparse
import sys
from pathlib import Path

import duckdb

from engine_common import ENRICHED, SNAPSHOTS

# These columns are compared as numbers, so that 150, 150.0 and 150.000 are equal. All other columns are compared as text.
NUMBERS = {"play_count", "plays", "avg_duration", "sad_count", "genre_plays", "total_plays", "loyalty_score",
           "duration_sec"}
SHOWN = 5


def rows(folder, name, columns):
    """Returns a query for the normalised rows of a table."""

    def value(column):
        if column in NUMBERS:
            return f"{column}::DECIMAL(18, 4) AS {column}"
        return f"coalesce({column}, '') AS {column}"

    # The query sets the CSV dialect. DuckDB cannot detect it if the first rows contain no quoted field.
    return f"""SELECT {', '.join(map(value, columns))} FROM read_csv('{folder}/{name}/*.csv', header = true,
        auto_detect = false, delim = ',', quote = '"', escape = '"',
        columns = {{{', '.join(f"'{column}': 'VARCHAR'" for column in columns)}}})"""


def header(folder, name):
    with open(sorted((folder / name).glob("*.csv"))[0], encoding="utf-8") as file:
        return file.readline().strip().replace('"', "").split(",")


def differ(db, name, ours, theirs):
    lines = [f"{name} differs"]
    for title, left, right in (("only in the first output", ours, theirs), ("only in the second output", theirs, ours)):
        found = db.execute(f"SELECT * FROM (({left}) EXCEPT ALL ({right})) ORDER BY ALL LIMIT {SHOWN}").fetchall()
        lines += [f"{title}: {', '.join(map(str, row))}" for row in found]
    sys.exit("\n".join(lines))


def compare(db, ours, theirs, name):
    columns = header(ours, name)
    if columns == ["message"]:  # An insight without rows has only a message. A peer writes a table without rows.
        columns = header(theirs, name)
        if columns != ["message"] and db.execute(f"SELECT count(*) FROM ({rows(theirs, name, columns)})").fetchone()[0]:
            sys.exit(f"{name} differs: only the second output has rows")
        return
    if header(theirs, name) != columns:
        sys.exit(f"{name} differs: columns {columns} and {header(theirs, name)}")
    left, right = rows(ours, name, columns), rows(theirs, name, columns)
    # The sum of the row hashes does not depend on the order of rows, and it counts duplicates.
    digests = [db.execute(f"SELECT count(*), sum(hash({', '.join(columns)})::HUGEINT) FROM ({query})").fetchone()
               for query in (left, right)]
    if digests[0] != digests[1]:
        differ(db, name, left, right)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=Path)
    parser.add_argument("theirs", type=Path)
    parser.add_argument("--without-enriched-logs", dest="enriched", action="store_false")
    args = parser.parse_args()
    db = duckdb.connect()
    for name in SNAPSHOTS + [ENRICHED] * args.enriched:
        compare(db, args.ours, args.theirs, name)


if __name__ == "__main__":
    main()
