"""Says whether two outputs are the same up to the order of rows and the format of numbers.

compare_tables.py OURS THEIRS [--without-enriched-logs]

Runs as a process of its own: it needs DuckDB, and a large parent would count as the peak memory of
the processes that it starts. A difference ends it with 1 and the name of the table and the first
rows.
"""

import argparse
import sys
from pathlib import Path

import duckdb

from engine_common import ENRICHED, SNAPSHOTS

# As numbers, so that 150, 150.0 and 150.000 are the same; everything else is compared as text.
NUMBERS = {"play_count", "plays", "avg_duration", "sad_count", "genre_plays", "total_plays", "loyalty_score",
           "duration_sec"}
SHOWN = 5


def rows(folder, name, columns):
    """The rows of a table, normalised: a query."""

    def value(column):
        if column in NUMBERS:
            return f"{column}::DECIMAL(18, 4) AS {column}"
        return f"coalesce({column}, '') AS {column}"

    # Nothing is sniffed: of the first rows perhaps none is quoted.
    return f"""SELECT {', '.join(map(value, columns))} FROM read_csv('{folder}/{name}/*.csv', header = true,
        auto_detect = false, delim = ',', quote = '"', escape = '"',
        columns = {{{', '.join(f"'{column}': 'VARCHAR'" for column in columns)}}})"""


def header(folder, name):
    with open(sorted((folder / name).glob("*.csv"))[0], encoding="utf-8") as file:
        return file.readline().strip().replace('"', "").split(",")


def differ(db, name, ours, theirs):
    lines = [f"{name} differs"]
    for title, left, right in (("only in ours", ours, theirs), ("only in theirs", theirs, ours)):
        found = db.execute(f"SELECT * FROM (({left}) EXCEPT ALL ({right})) ORDER BY ALL LIMIT {SHOWN}").fetchall()
        lines += [f"{title}: {', '.join(map(str, row))}" for row in found]
    sys.exit("\n".join(lines))


def compare(db, ours, theirs, name):
    columns = header(ours, name)
    if columns == ["message"]:  # nobody is loyal: a peer writes a table without rows
        columns = header(theirs, name)
        if columns != ["message"] and db.execute(f"SELECT count(*) FROM ({rows(theirs, name, columns)})").fetchone()[0]:
            sys.exit(f"{name} differs: ours has no rows")
        return
    if header(theirs, name) != columns:
        sys.exit(f"{name} differs: columns {columns} and {header(theirs, name)}")
    left, right = rows(ours, name, columns), rows(theirs, name, columns)
    # A hash of the multiset: the sum does not depend on the order, and does count what comes twice.
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
