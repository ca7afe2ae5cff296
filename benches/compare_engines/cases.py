"""What is measured: the data and what is asked of it."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Data:
    """Logs that are generated; `packed` is the ending of the one file, compressed, if it is."""

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
    main: bool = False  # all contenders run in all rounds


UNIFORM = Data()
# Cases of the same plain data stand next to each other, so that it is made once.
CASES = [
    Case("uniform", "all seven tables", main=True),
    Case("no-enriched", "without enriched_logs", enriched=False, main=True),
    Case("gz", "one .csv.gz", replace(UNIFORM, packed=".gz")),
    Case("zst", "one .csv.zst", replace(UNIFORM, packed=".zst")),
    Case("threads", "ours by threads and cores"),
    Case("watch", "ours with commits"),
    Case("zipf", "few are played very often (zipf)", replace(UNIFORM, popularity="zipf")),
    Case("uuid", "ids of 36 characters", replace(UNIFORM, ids="uuid")),
    Case("files", "10,000 small files", replace(UNIFORM, files=10_000)),
    Case("scale", "ten times the rows, listeners and songs", replace(UNIFORM, scale=10), enriched=False),
]
NAMES = [case.name for case in CASES]
