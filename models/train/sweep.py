"""What each level of alarm costs and brings: tokens issued in advance against failures for which one was at hand.

Alarms are made as proxy/predict/src/threshold.rs makes them (one per horizon, hysteresis, cool-down), and a store is at risk
while one of them stands. A temporary token is issued when it begins. A failure is covered when the store was at risk in the
step before it: then the token was there when it was needed.
"""

import numpy as np

from contract import HORIZONS
from score import DAY

PERCENTS = [5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95]
LEAVE_SHARE = 0.6
COOL_DOWN = 10          # steps; the default of `cooldown` is ten minutes


def sweep(scored, measured: list[float]) -> list[dict]:
    """scored: (risks [n, horizons], counts [n], start) of each episode. A row for each level that is the same for all horizons,
    and one for the measured levels."""
    levels = np.array([[p / 100] * len(HORIZONS) for p in PERCENTS] + [measured])
    count = len(levels)
    issued, at_risk, covered, seen = (np.zeros(count, int) for _ in range(4))
    leads: list[list[int]] = [[] for _ in range(count)]
    steps = failures = 0
    for risks, counts, start in scored:
        raised = np.zeros((count, len(HORIZONS)), bool)
        left = np.full((count, len(HORIZONS)), -10**6)
        since, once = np.full(count, -1), np.zeros(count, bool)
        at = np.flatnonzero(counts)
        for t in at:
            p = risks[t]
            leave = raised & (p < LEAVE_SHARE * levels)
            enter = ~raised & (p >= levels) & ((t - left >= COOL_DOWN) | (p >= (levels + 1) / 2))
            left[leave] = t
            raised = (raised & ~leave) | enter
            standing = raised.any(1)
            begins = standing & (since < 0)
            since = np.where(standing, np.where(begins, t, since), -1)
            issued += begins
            at_risk += standing
            once |= standing
        steps += len(at)
        if start is not None and len(at):
            failures += 1
            for k in np.flatnonzero(since >= 0):
                covered[k] += 1
                leads[k].append(int(start - since[k]))
            seen += once
    days = max(steps / DAY, 1e-9)
    return [
        {
            "level": "measured" if k == len(PERCENTS) else f"{PERCENTS[k]} %",
            "enter": [round(float(v), 4) for v in levels[k]],
            "tokens_a_day": round(issued[k] / days, 2),
            "steps_at_risk_a_day": round(at_risk[k] / days, 1),
            "failures": failures, "covered": int(covered[k]), "alarmed_before": int(seen[k]),
            "lead": float(np.median(leads[k])) if leads[k] else None,
        }
        for k in range(count)
    ]


def table(rows: list[dict]) -> str:
    """The table of docs/risk.md."""
    lines = ["| level | tokens a day and store | steps at risk a day | failures covered | median lead, steps |", "|---|---|---|---|---|"]
    for r in rows:
        share = 100 * r["covered"] / max(r["failures"], 1)
        lead = "–" if r["lead"] is None else f"{r['lead']:.0f}"
        lines.append(f"| {r['level']} | {r['tokens_a_day']:.2f} | {r['steps_at_risk_a_day']:.1f} "
                     f"| {r['covered']} of {r['failures']} ({share:.0f} %) | {lead} |")
    return "\n".join(lines)


def plot(curves: dict[str, list[dict]]) -> str:
    """Tokens a day and store (across) against failures covered (up), one line for each of the curves; SVG."""
    width, height, left, bottom, top = 640, 360, 56, 44, 16
    colours = ["#1f5fa8", "#b3541e", "#4a7d3a"]
    most = max(r["tokens_a_day"] for rows in curves.values() for r in rows) * 1.05 or 1.0
    tall = min(1.0, 1.2 * max(r["covered"] / max(r["failures"], 1) for rows in curves.values() for r in rows)) or 1.0

    def x(v: float) -> float: return left + v / most * (width - left - 16)
    def y(v: float) -> float: return height - bottom - v / tall * (height - bottom - top)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for k in range(5):
        share, tokens = tall * k / 4, most * k / 4
        out += [f'<path d="M{left} {y(share):.1f}H{width - 16}" stroke="#ddd"/>',
                f'<text x="{left - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{100 * share:.0f} %</text>',
                f'<text x="{x(tokens):.1f}" y="{height - bottom + 16}" text-anchor="middle">{tokens:.1f}</text>']
    out += [f'<text x="{(left + width) / 2}" y="{height - 8}" text-anchor="middle">temporary tokens issued, per day and store</text>',
            f'<text x="{left + 6}" y="{top + 10}">failures covered</text>']
    for colour, (name, rows), place in zip(colours, curves.items(), range(len(curves))):
        line = [r for r in rows if r["level"] != "measured"]
        points = " ".join(f"{x(r['tokens_a_day']):.1f},{y(r['covered'] / max(r['failures'], 1)):.1f}" for r in line)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for r in rows:
            cx, cy = x(r["tokens_a_day"]), y(r["covered"] / max(r["failures"], 1))
            chosen = r["level"] == "measured"
            out.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{5 if chosen else 2.5}" fill="{"#fff" if chosen else colour}" '
                       f'stroke="{colour}"><title>{name}, {r["level"]}</title></circle>')
        ly = height - bottom - 14 - 16 * place
        out.append(f'<text x="{width - 20}" y="{ly}" text-anchor="end" fill="{colour}">{name} (ring: measured levels)</text>')
    return "\n".join([*out, "</svg>", ""])
