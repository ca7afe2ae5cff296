"""The measured cases. A case has data, and a list of tables to compute."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Data:
    """The generated logs. If the log is a single compressed file, `packed` is its suffix. Otherwise it is empty."""

    popularity: str = "uniform"
    ids: str = "short"
    files: int = 1
    scale: int = 1
    shuffled: bool = False  # if true, the rows are in random order instead of the order of their times
    packed: str = ""

    def plain(self):
        return replace(self, packed="")


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    data: Data = Data()
    enriched: bool = True
    main: bool = False  # if true, all contenders run in every round


UNIFORM = Data()
# Cases with the same uncompressed data are adjacent, so that the data is generated only once.
CASES = [
    Case("uniform", "all seven tables", main=True),
    Case("no-enriched", "without enriched_logs", enriched=False, main=True),
    Case("gz", "one .csv.gz", replace(UNIFORM, packed=".gz")),
    Case("zst", "one .csv.zst", replace(UNIFORM, packed=".zst")),
    Case("threads", "music-insights by threads and cores"),
    Case("watch", "music-insights with commits"),
    Case("random-order", "timestamps in random order", replace(UNIFORM, shuffled=True)),
    Case("zipf", "few songs are played very often (Zipf)", replace(UNIFORM, popularity="zipf")),
    Case("uuid", "ids of 36 characters", replace(UNIFORM, ids="uuid")),
    Case("files", "10,000 small files", replace(UNIFORM, files=10_000)),
    Case("scale", "ten times the rows, listeners and songs", replace(UNIFORM, scale=10), enriched=False),
]
NAMES = [case.name for case in CASES]
