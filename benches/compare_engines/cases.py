"""The measured cases: which data each uses and which tables it computes."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Data:
    """The generated logs. `packed` is the suffix of a single compressed file, or empty."""

    popularity: str = "uniform"
    ids: str = "short"
    files: int = 1
    scale: int = 1
    packed: str = ""

    def plain(self):
        return replace(self, packed="")


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    data: Data = Data()
    enriched: bool = True
    main: bool = False  # all contenders run in every round


UNIFORM = Data()
# Cases that share their uncompressed data are adjacent, so that it is generated once.
CASES = [
    Case("uniform", "all seven tables", main=True),
    Case("no-enriched", "without enriched_logs", enriched=False, main=True),
    Case("gz", "one .csv.gz", replace(UNIFORM, packed=".gz")),
    Case("zst", "one .csv.zst", replace(UNIFORM, packed=".zst")),
    Case("threads", "music-insights by threads and cores"),
    Case("watch", "music-insights with commits"),
    Case("zipf", "few songs are played very often (Zipf)", replace(UNIFORM, popularity="zipf")),
    Case("uuid", "ids of 36 characters", replace(UNIFORM, ids="uuid")),
    Case("files", "10,000 small files", replace(UNIFORM, files=10_000)),
    Case("scale", "ten times the rows, listeners and songs", replace(UNIFORM, scale=10), enriched=False),
]
NAMES = [case.name for case in CASES]
