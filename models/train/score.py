"""Figures of a score, and the baselines that a model has to beat."""

import numpy as np

from contract import COUNT, HEADROOM, HORIZONS

# Steps at the start of an episode that are not scored: nobody can have a trend yet.
WARM = 8
# Alarms within so many steps of the first one are one alarm.
HOLD = 30
DAY = 1440


def labels(episode) -> tuple[np.ndarray, np.ndarray]:
    """[n, horizons] whether the store fails within the horizon, and [n] whether the step counts: not before the warm-up, and
    nothing from the failure on."""
    n = len(episode.rows)
    y, counts = np.zeros((n, len(HORIZONS)), np.int8), np.ones(n, bool)
    counts[:WARM] = False
    if episode.start is not None:
        for j, horizon in enumerate(HORIZONS):
            y[max(0, episode.start - horizon):episode.start, j] = 1
        counts[episode.start:] = False
    return y, counts


def average_precision(y: np.ndarray, s: np.ndarray) -> float:
    if not y.any():
        return float("nan")
    order = np.argsort(-s, kind="stable")
    y, s = y[order], s[order]
    hits = np.cumsum(y)
    last = np.r_[np.flatnonzero(np.diff(s)), len(s) - 1]
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float(np.sum(np.diff(np.r_[0, recall]) * precision))


def brier_skill(y: np.ndarray, p: np.ndarray) -> float:
    base = y.mean()
    return float(1 - np.mean((p - y) ** 2) / (base * (1 - base)))


def calibration_error(y: np.ndarray, p: np.ndarray, bins: int = 10) -> float:
    edges = np.quantile(p, np.linspace(0, 1, bins + 1))
    at = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, bins - 1)
    return float(sum(abs(p[at == k].mean() - y[at == k].mean()) * np.mean(at == k) for k in range(bins) if (at == k).any()))


def alarms(scored, threshold: float, horizon: int) -> dict:
    """scored: (scores [n], counts [n], start) of each episode. An alarm is false when no failure follows within the horizon
    of any of its steps; a failure is found when an alarm stood in the horizon before it. Nothing is adjusted by points."""
    false, found, failures, steps, leads = 0, 0, 0, 0, []
    for s, counts, start in scored:
        at = np.flatnonzero(counts & (s >= threshold))
        steps += int(counts.sum())
        if start is not None and start > WARM:
            failures += 1
            before = at[(at >= start - horizon) & (at < start)]
            if len(before):
                found += 1
                leads.append(int(start - before[0]))
        i = 0
        while i < len(at):
            j = int(np.searchsorted(at, at[i] + HOLD))
            if start is None or not ((start > at[i:j]) & (start <= at[i:j] + horizon)).any():
                false += 1
            i = j
    return {"failures": failures, "found": found, "recall": found / max(failures, 1), "false": false,
            "false_a_day": false / max(steps / DAY, 1e-9), "lead": float(np.median(leads)) if leads else float("nan")}


def choose(scored, horizon: int, budget: float = 1.0) -> float:
    """The lowest threshold that keeps the budget of false alarms a day of steps."""
    every = np.concatenate([s[counts] for s, counts, _ in scored])
    candidates = np.unique(np.quantile(every, np.r_[np.linspace(0.3, 0.99, 60), 1 - np.geomspace(0.01, 1e-4, 40), 1]))
    for threshold in candidates:
        if alarms(scored, threshold, horizon)["false_a_day"] <= budget:
            return float(threshold)
    return float(np.nextafter(every.max(), np.inf))


def static_headroom(episode) -> np.ndarray:
    """The mean of the last five readings of the fullest resource, the same for each horizon."""
    return np.repeat(_fullest(_level(episode.rows))[:, None], len(HORIZONS), 1)


def extrapolated_headroom(episode) -> np.ndarray:
    """The same, with the trend of the last fifteen steps (least squares) drawn out to the horizon."""
    level, slope = _level(episode.rows), _slope(episode.rows)
    return np.stack([_fullest(level + slope * horizon) for horizon in HORIZONS], 1)


def _level(rows: np.ndarray, span: int = 5) -> np.ndarray:
    x = rows[:, HEADROOM].astype(np.float64)
    known = ~np.isnan(x)
    total, count = (np.cumsum(np.vstack([np.zeros((1, x.shape[1])), v]), 0) for v in (np.where(known, x, 0), known))
    first = np.maximum(np.arange(len(x)) + 1 - span, 0)
    count = count[1:] - count[first]
    return np.where(count > 0, (total[1:] - total[first]) / np.maximum(count, 1), np.nan)


def _slope(rows: np.ndarray, span: int = 15) -> np.ndarray:
    x = rows[:, HEADROOM].astype(np.float64)
    out = np.zeros_like(x)
    for t in range(len(x)):
        part = x[max(0, t + 1 - span):t + 1]
        known = ~np.isnan(part)
        at = np.arange(len(part))[:, None] * known
        n = known.sum(0)
        v = np.where(known, part, 0)
        below = n * (at * at).sum(0) - at.sum(0) ** 2
        ok = (n >= 5) & (below > 0)
        out[t, ok] = ((n * (at * v).sum(0) - at.sum(0) * v.sum(0)) / np.where(below > 0, below, 1))[ok]
    return out


def _fullest(levels: np.ndarray) -> np.ndarray:
    return np.max(np.where(np.isnan(levels), 0.0, levels), axis=1)


def z_score(episode) -> np.ndarray:
    """The mean of the three features that are furthest from their own past (exponential, half-life 120 steps)."""
    x, past = episode.rows.astype(np.float64), 1 - 0.5 ** (1 / 120)
    mean, variance = np.nan_to_num(x[0]), np.full(COUNT, 0.0025)
    out = np.empty(len(x))
    for t, row in enumerate(x):
        distance = np.where(np.isnan(row), 0, row - mean)
        z = np.abs(distance) / np.sqrt(variance + 4e-4)
        out[t] = np.sort(np.minimum(z, 8))[-3:].mean()
        mean = mean + past * distance
        variance = (1 - past) * (variance + past * distance**2)
    return np.repeat(out[:, None], len(HORIZONS), 1)


def learn_by(key, episodes) -> np.ndarray:
    """Share of steps before a failure by a key of (episode, step): what a rule knows that looks at nothing else."""
    hits, steps = np.zeros((200, len(HORIZONS))), np.zeros(200)
    for e in episodes:
        y, counts = labels(e)
        at = key(e)[counts]
        np.add.at(hits, at, y[counts])
        np.add.at(steps, at, 1)
    return (hits + 1e-3) / (steps[:, None] + 1)


def clock(e) -> np.ndarray:
    """Quarter of an hour of the day."""
    return ((e.minute + np.arange(len(e.rows))) % DAY) // 15


def age(e) -> np.ndarray:
    """Ten steps since the episode began."""
    return np.minimum(np.arange(len(e.rows)) // 10, 199)
