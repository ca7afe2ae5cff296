"""Draws a bar chart of the cases as SVG. The chart is legible on light and dark backgrounds."""

from xml.sax.saxutils import escape

COLUMNS = 2
WIDTH, BAR, GAP, HEAD, MARGIN, NAMES, LABELS = 470, 16, 5, 34, 16, 96, 92

STYLE = """
  text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #24292f }
  .title { font-weight: 600 }
  .note { fill: #57606a }
  .ours { fill: #0969da }
  .peer { fill: #afb8c1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note { fill: #9198a1 }
    .ours { fill: #4493f8 }
    .peer { fill: #59636e }
  }
"""


def draw(cases, results):
    """Returns the SVG. `cases` maps the name of a case to the summaries of its contenders. music-insights is first."""
    panel = HEAD + (BAR + GAP) * max(map(len, cases.values())) + MARGIN
    height = panel * -(-len(cases) // COLUMNS) + 2 * MARGIN
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * COLUMNS} {height}" role="img"'
             f' aria-label="Seconds per contender and case; lower is better">', f"<style>{STYLE}</style>"]
    for number, (name, rows) in enumerate(cases.items()):
        left, top = WIDTH * (number % COLUMNS) + MARGIN, panel * (number // COLUMNS) + MARGIN
        parts += bars(left, top, name, results["cases"][name]["rows"], rows)
    parts.append(f'<text class="note" x="{MARGIN}" y="{height - MARGIN / 2}">Lower is better. '
                 f'{escape(results["machine"])}, {results["date"]}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def bars(left, top, name, count, rows):
    longest = max(row.get("seconds", 0) for row in rows)
    room = WIDTH - 2 * MARGIN - NAMES - LABELS
    parts = [f'<text class="title" x="{left}" y="{top + 14}">{escape(name)}</text>',
             f'<text class="note" x="{left + NAMES}" y="{top + 14}">{count / 1e6:g} M rows</text>']
    for number, row in enumerate(rows):
        y = top + HEAD + number * (BAR + GAP) - MARGIN / 2
        kind = "ours" if row["contender"] == "ours" else "peer"
        title = row["name"].split()[0]
        parts.append(f'<text{" class=" + chr(34) + "title" + chr(34) if kind == "ours" else ""} x="{left}" y="{y + 12}">{escape(title)}</text>')
        if "failure" in row:
            parts.append(f'<text class="note" x="{left + NAMES}" y="{y + 12}">n/a</text>')
            continue
        length = max(2, room * row["seconds"] / longest)
        ratio = "" if kind == "ours" else f" ({row['ratio']:.1f}×)"
        parts.append(f'<rect class="{kind}" x="{left + NAMES}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        parts.append(f'<text x="{left + NAMES + length + 6:.1f}" y="{y + 12}">{row["seconds"]:.1f} s{ratio}</text>')
    return parts
