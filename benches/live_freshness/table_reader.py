"""Polls the published tables, and records when each probe first appears."""

import json
import os
import re
import time
from pathlib import Path

POLL = 0.005
PROBE = re.compile(rb'probe_(?:song|user)_(\d{6})(?=[,"])')


class Snapshot:
    """A table in a file that is replaced as a whole. Reads the file when its inode, modification time or size changes."""

    def __init__(self, path, head):
        self.path = path
        # The number of bytes to read. The start of a table of music-insights contains all probes, because the tables
        # are sorted and `probe_` sorts before `song_` and `user_`.
        self.head = head
        self.seen = None

    def news(self):
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        if (found.st_ino, found.st_mtime_ns, found.st_size) == self.seen:
            return None
        with open(self.path, "rb") as file:
            # Look at the open file, because a new file may have replaced the path in the meantime.
            found = os.fstat(file.fileno())
            self.seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            return file.read(self.head or -1)


class Changes:
    """A file that grows. Reads only new bytes, with an overlap for a line that was incomplete before."""

    OVERLAP = 64

    def __init__(self, path, _head):
        self.path = path
        self.file = None
        self.offset = 0

    def news(self):
        if self.file is None:
            try:
                self.file = open(self.path, "rb")
            except FileNotFoundError:
                return None
        if os.fstat(self.file.fileno()).st_size <= self.offset:
            return None
        start = max(0, self.offset - self.OVERLAP)
        self.file.seek(start)
        read = self.file.read()
        self.offset = start + len(read)
        return read


def run(kind, tables, probes, head, deadline, log):
    """Polls until every probe has appeared in all tables, or until the deadline. `tables` maps names to paths."""
    readers = {name: kind(path, head) for name, path in tables.items()}
    seen = {name: {} for name in tables}
    changes = {name: [] for name in tables}
    while time.monotonic() < deadline and any(len(found) < probes for found in seen.values()):
        for name, reader in readers.items():
            news = reader.news()
            if news is None:
                continue
            found = PROBE.findall(news)
            now = time.monotonic_ns()
            changes[name].append(now)
            for number in found:
                seen[name].setdefault(int(number), now)
        time.sleep(POLL)
    Path(log).write_text(json.dumps({"seen": seen, "changes": changes}))
