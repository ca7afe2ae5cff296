"""Generates the data of a case, and keeps the data until a case needs different data."""

import gzip
import shutil
import subprocess

GZIP_LEVEL = 6
TIMEOUT = 900  # time limit for generating or compressing the data of a case, in seconds


class DataStore:
    def __init__(self, folder, binary, args):
        self.folder, self.binary, self.args = folder / "data", binary, args
        self.made = None

    def logs(self, data):
        """Returns the paths of the logs and the catalog."""
        if self.made != data.plain():
            self.drop()
            self.generate(data)
            self.made = data.plain()
        incoming = self.folder / "incoming"
        logs = incoming if data.files > 1 else incoming / "plays-00000.csv"
        songs = self.folder / "songs_metadata.csv"
        if not data.packed:
            return logs, songs
        # The compressed file is not in `incoming`, because `watch` would read it there.
        packed = self.folder / f"plays.csv{data.packed}"
        if not packed.exists():
            pack(logs, packed)
        return packed, songs

    def generate(self, data):
        command = [self.binary, "generate", "--rows", self.rows(data), "--users", self.args.users * data.scale,
                   "--songs", self.args.songs * data.scale, "--popularity", data.popularity, "--ids", data.ids,
                   "--files", min(data.files, self.args.rows), "--days", 30, "--out", self.folder]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=TIMEOUT)
        if data.shuffled:
            for log in (self.folder / "incoming").iterdir():
                shuffle(log)

    def rows(self, data):
        return self.args.rows * data.scale

    def forget_packed(self, data):
        if data.packed:
            (self.folder / f"plays.csv{data.packed}").unlink(missing_ok=True)

    def drop(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.made = None


def shuffle(log):
    """Shuffles the rows of a log. Its own bytes are the source of randomness, so the order is always the same."""
    ordered = log.rename(log.with_suffix(".ordered"))
    with open(ordered, "rb") as source, open(log, "wb") as target:
        target.write(source.readline())
        target.flush()
        rows = subprocess.Popen(["tail", "--lines", "+2", ordered], stdout=subprocess.PIPE)
        subprocess.run(["shuf", f"--random-source={ordered}"], check=True, stdin=rows.stdout, stdout=target, timeout=TIMEOUT)
        rows.wait(TIMEOUT)
    ordered.unlink()


def pack(source, target):
    """Compresses a file with the command-line tools at their default levels. Python has zstd only since 3.14."""
    tool = {".gz": "gzip", ".zst": "zstd"}[target.suffix]
    if shutil.which(tool):
        with open(target, "wb") as file:
            subprocess.run([tool, "--quiet", "--stdout", source], check=True, stdout=file, timeout=TIMEOUT)
    elif tool == "gzip":
        with open(source, "rb") as plain, gzip.open(target, "wb", compresslevel=GZIP_LEVEL) as file:
            shutil.copyfileobj(plain, file, 1 << 20)
    else:
        raise SystemExit("case zst: the command `zstd` is missing; install it, or leave zst out of --cases")
