"""Runs one case: all contenders take turns on the same files. Compares the tables of all contenders."""

import shutil
import subprocess
import sys
from pathlib import Path

from measure_process import TIMEOUT, measure, median

HERE = Path(__file__).resolve().parent
FASTEST_PEERS = 2  # after the first round of a side case, only this number of peers continues


class CaseRunner:
    def __init__(self, place, binary, python, threads):
        self.place, self.binary, self.python, self.threads = place, binary, python, threads

    def command(self, contender, case, logs, songs, threads=None):
        threads = threads or self.threads
        output = self.output(contender)
        if contender == "ours":
            setting = [] if case.enriched else ["--set", "insights.enriched_logs.enabled=false"]
            return [self.binary, "replay", logs, "--songs", songs, "--output", output, "--threads", threads, *setting]
        script = HERE / f"{contender}_insights.py"
        return [self.python, script, logs, songs, output, threads] + ["--without-enriched-logs"] * (not case.enriched)

    def output(self, contender):
        return self.place / f"output-{contender}"

    def once(self, contender, case, logs, songs, threads=None, cores=None):
        self.clear(contender)
        run = measure(self.command(contender, case, logs, songs, threads), cores or self.threads)
        print(f"{case.name}: {contender}: " + (run.failure or f"{run.seconds:.2f} s ({run.processor:.2f} s of processor time), {run.megabytes:.0f} MB"),
              file=sys.stderr, flush=True)
        if run.failure and contender == "ours":
            sys.exit(f"{case.name}: music-insights failed: {run.failure}")
        return run

    def clear(self, contender):
        shutil.rmtree(self.output(contender), ignore_errors=True)

    def all(self, case, contenders, rounds, logs, songs):
        """Runs all rounds, and returns the runs of each contender.

        In the first round, music-insights runs first. The output of each peer is then compared with this output.
        """
        runs = {contender: [] for contender in contenders}
        active = list(contenders)
        for number in range(rounds):
            for contender in active[number % len(active):] + active[:number % len(active)]:
                run = self.once(contender, case, logs, songs)
                runs[contender].append(run)
                if number == 0 and contender != "ours":
                    if not run.failure:
                        self.compare(contender, case)
                    self.clear(contender)
                elif number > 0:
                    self.clear(contender)
            if number == 0:
                self.clear("ours")
                active = self.remaining(case, runs)
        return runs

    def remaining(self, case, runs):
        peers = [peer for peer, had in runs.items() if peer != "ours" and not had[-1].failure]
        if not case.main:
            peers = sorted(peers, key=lambda peer: median(runs[peer]))[:FASTEST_PEERS]
        return ["ours", *peers]

    def compare(self, peer, case):
        command = [self.python, HERE / "compare_tables.py", self.output("ours"), self.output(peer)]
        command += ["--without-enriched-logs"] * (not case.enriched)
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=TIMEOUT)
        if done.returncode != 0:
            sys.exit(f"{case.name}: the tables of {peer} differ from the tables of music-insights:\n{done.stdout}")
