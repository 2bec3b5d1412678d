"""Draws docs/images/architecture.svg: what a change passes through. `tools/reference.py` writes it."""

from __future__ import annotations

from html import escape

#: Left, top, width and height.
Place = tuple[int, int, int, int]
WIDTH, HEIGHT = 1000, 600
STYLE = """
  .paper { fill: #ffffff } .box { fill: #f3f6fa; stroke: #5b7083 } .ours { fill: #e3effb; stroke: #2a6bb0 }
  .step { fill: #ffffff; stroke: #2a6bb0 } .name { fill: #14202b; font-weight: 600 }
  .note { fill: #43525f; font-size: 13px }
  .way { stroke: #43525f; stroke-width: 1.6; fill: none } .head { fill: #43525f }
  text { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; font-size: 15px }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #14181c } .box { fill: #20272e; stroke: #8fa3b5 } .ours { fill: #16324d; stroke: #6fb0ef }
    .step { fill: #14181c; stroke: #6fb0ef } .name { fill: #f1f5f8 } .note { fill: #c3cfd9 }
    .way { stroke: #c3cfd9 } .head { fill: #c3cfd9 }
  }
"""
TITLE = "From save() to a settled result"
TOLD = (
    "Your models are read by sources into the mirror, in one transaction. Admin, API and commands say what should be "
    "by services. After the commit a wake-up goes to Redis; the timer makes up for lost ones. In an RQ worker, "
    "delivery claims what is due, opens the call in the audit, sends it by the client to Blueshift, reads the answer "
    "and settles."
)


def svg() -> str:
    shapes = [
        # The site, and what it calls
        *box((20, 20, 290, 70), "Your models", "save(), delete()"),
        *box((350, 20, 300, 70), "Operators, programs, your code", "admin · api · management · tasks", ours=True),
        *box((740, 20, 240, 70), "Timer: rqcron", "cron", ours=True),
        *box((20, 150, 290, 70), "sources", "read objects as blueshift.py says", ours=True),
        *box((350, 150, 300, 70), "services", "the Python calls", ours=True),
        # What is kept
        *box((20, 290, 630, 110), "Your database"),
        *box((35, 320, 290, 65), "Mirror", "what should be, and is known to be", step=True),
        *box((345, 320, 290, 65), "Audit", "runs, calls, results", step=True),
        *box((740, 290, 240, 110), "Redis", "a wake-up, the clock of the rate"),
        # What sends
        *box((20, 470, 630, 110), "delivery, in RQ workers", ours=True),
        *(shape for number, name in enumerate(STEPS) for shape in step(number, name)),
        *box((700, 490, 120, 70), "client", "HTTP", ours=True),
        *box((870, 490, 110, 70), "Blueshift"),
        # The ways
        *arrow([(165, 90), (165, 150)], "signals, same transaction", (175, 124)),
        *arrow([(500, 90), (500, 150)]),
        *arrow([(350, 185), (310, 185)]),
        *arrow([(165, 220), (165, 320)], "version + 1, due", (175, 243)),
        *arrow([(440, 220), (440, 262), (255, 262), (255, 320)], "what should be", (450, 248)),
        *arrow([(860, 90), (860, 290)], "sweep: what was lost", (850, 195), anchor="end"),
        *arrow([(650, 345), (740, 345)], "on commit", (694, 336), anchor="middle"),
        *arrow([(800, 400), (800, 440), (620, 440), (620, 470)], "a job", (700, 432)),
        *arrow([(91, 385), (91, 510)], "due rows", (101, 440)),
        *arrow([(213, 510), (213, 425), (420, 425), (420, 385)], "before it leaves", (275, 418)),
        *arrow([(579, 510), (579, 385)], "what became of it", (570, 440), anchor="end"),
        *arrow([(650, 525), (700, 525)]),
        *arrow([(820, 525), (870, 525)], both=True),
    ]
    body = "\n".join(f"  {shape}" for shape in shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-labelledby="title told">\n  <title id="title">{TITLE}</title>\n'
        f'  <desc id="told">{TOLD}</desc>\n  <style>{STYLE}  </style>\n{HEAD}\n'
        f'  <rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>\n{body}\n</svg>\n'
    )


STEPS = ("claim", "open", "send", "read", "settle")
HEAD = (
    '  <defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
    'orient="auto-start-reverse"><path class="head" d="M0 0 10 5 0 10z"/></marker></defs>'
)


def step(number: int, name: str) -> list[str]:
    return box((35 + 122 * number, 510, 112, 50), name, step=True)


def box(place: Place, name: str, note: str = "", *, ours: bool = False, step: bool = False) -> list[str]:
    """A box with a name, and a line below it. A box that holds others has its name at the top."""
    x, y, width, height = place
    kind = "step" if step else "ours" if ours else "box"
    middle = x + width // 2
    holds_others = height > 100 and width > 300
    line = y + 22 if holds_others else y + height // 2 + (5 if not note else -4)
    shapes = [
        f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>',
        f'<text class="name" x="{middle}" y="{line}" text-anchor="middle">{escape(name)}</text>',
    ]
    if note:
        shapes.append(f'<text class="note" x="{middle}" y="{line + 21}" text-anchor="middle">{escape(note)}</text>')
    return shapes


def arrow(
    points: list[tuple[int, int]],
    note: str = "",
    beside: tuple[int, int] = (0, 0),
    *,
    anchor: str = "start",
    both: bool = False,
) -> list[str]:
    """A way along these points, with a word beside it."""
    line = " ".join(f"{x},{y}" for x, y in points)
    start = ' marker-start="url(#head)"' if both else ""
    shapes = [f'<polyline class="way" points="{line}"{start} marker-end="url(#head)"/>']
    if note:
        x, y = beside
        shapes.append(f'<text class="note" x="{x}" y="{y}" text-anchor="{anchor}">{escape(note)}</text>')
    return shapes
