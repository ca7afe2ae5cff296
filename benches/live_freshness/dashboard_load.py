"""Generates load on the dashboard while rows arrive: ten browsers, ten simulated clients, or abuse.

In production, the load would come from other machines. Here it runs on the measured machine, so by default it has the
lowest priority.
"""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

BROWSERS = 10
SLOW = 300
BUSY = 8
# The most expensive requests. The abuse sends them.
EXPENSIVE = ("/api/v1/insights/user_favorite_genres?search=zzzz", "/api/v1/insights/avg_listen_time_per_song?sort=-avg_duration",
             "/api/v1/overview", "/api/v1/search?text=zzzz", "/metrics", "/api/v1/insights/enriched_logs?user_id=zzzz",
             "/api/v1/insights/user_favorite_genres.csv")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class DashboardLoad:
    """Processes that put load on the dashboard until they are stopped."""

    def __init__(self, kind, port, folder, niceness=19):
        self.folder = folder / "dashboard-load"
        self.folder.mkdir()
        self.processes = []
        if kind == "browsers":
            for number in range(BROWSERS):
                self.start(niceness, *browser(port, self.folder / str(number)))
        elif kind in ("clients", "abuse"):
            self.start(niceness, sys.executable, __file__, kind, str(port))

    def start(self, niceness, *command):
        self.processes.append(subprocess.Popen(
            [*(["chrt", "--idle", "0"] if niceness == 19 else ["nice", "-n", str(niceness)]), *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True))

    def stop(self):
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


def browser(port, profile):
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise RuntimeError("chromium is missing; install it (Debian package: chromium)")
    return [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--remote-debugging-port=0", f"--user-data-dir={profile}", f"http://127.0.0.1:{port}/"]


def connections(port):
    """Returns the number of connections that the server reports in its metrics."""
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    asked.request("GET", "/metrics")
    lines = asked.getresponse().read().decode().splitlines()
    asked.close()
    return next(int(line.split()[1]) for line in lines if line.startswith("music_insights_http_connections "))


def clients(port):
    """Sends the same requests as ten open dashboards, at the same rate, but renders no page."""
    for _ in range(BROWSERS):
        threading.Thread(target=client, args=(port,), daemon=True).start()
    signal.pause()


def client(port):
    events = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    events.request("GET", "/api/v1/events")
    stream = events.getresponse()
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    again = 0.0
    while line := stream.readline():
        if line.startswith(b"event: epoch") and time.monotonic() >= again:
            again = time.monotonic() + 1
            for address in ("/api/v1/status", "/api/v1/overview"):
                asked.request("GET", address)
                asked.getresponse().read()


def abuse(port):
    """Keeps 300 requests unfinished, and sends the most expensive requests as fast as possible."""
    slow = {}
    busy = []
    turn = 0
    while True:
        for number in range(SLOW):
            try:
                if number not in slow:
                    slow[number] = socket.create_connection(("127.0.0.1", port), timeout=1)
                    slow[number].sendall(b"GET / HTTP/1.1\r\nhost: local")
                slow[number].sendall(b"x")
            except OSError:
                slow.pop(number, None)
        ends = time.monotonic() + 1
        while time.monotonic() < ends:
            turn += 1
            try:
                if len(busy) < BUSY:
                    busy.append(http.client.HTTPConnection("127.0.0.1", port, timeout=10))
                asked = busy[turn % len(busy)]
                asked.request("GET", EXPENSIVE[turn % len(EXPENSIVE)])
                asked.getresponse().read()
            except (OSError, http.client.HTTPException):
                busy.clear()


if __name__ == "__main__":
    {"clients": clients, "abuse": abuse}[sys.argv[1]](int(sys.argv[2]))
