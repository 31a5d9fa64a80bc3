"""The headroom rule, as proxy/predict/src/headroom.rs has it. Golden vectors hold the two together; the words are there."""

from functools import lru_cache

import numpy as np

from contract import AT, HEADROOM, HORIZONS, LIMIT, NAMES, WINDOW

SPANS = [15, 60]
POINTS_LEAST = 5
LEVEL_STEPS = 3
SHARPNESS, NEAR_SHARPNESS = 6.0, 4.0
NEAR_MOST, NEAR_SPREADS, NEAR_FLOOR = 0.5, 3.0, 0.003
AT_LIMIT = 0.99
SEVERITY = {"cpu_ratio": 0.6, "host_memory_ratio": 0.8}


def logistic(x: float) -> float:
    return 1.0 / (1.0 + float(np.exp(min(-x, 700.0))))


@lru_cache
def pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(count, 1)


def trend(ago: np.ndarray, value: np.ndarray) -> tuple[float, float] | None:
    if len(ago) < POINTS_LEAST:
        return None
    one, other = pairs(len(ago))      # newest first: `other` is the earlier
    slopes = (value[one] - value[other]) / (ago[other] - ago[one])
    rising = np.count_nonzero(slopes > 0) + np.count_nonzero(slopes == 0) / 2
    return float(np.median(slopes)), max(0.0, 2.0 * rising / len(slopes) - 1.0)


def evicts(rows: np.ndarray) -> bool:
    said = rows[:, AT["memory_evicts"]]
    said = said[~np.isnan(said)]
    return bool(said[-1] >= 0.5) if len(said) else bool(np.any(rows[:, AT["eviction_rate"]] > 0))


def risk(rows: np.ndarray) -> list[float] | None:
    """Risk of the window that ends with the last of these rows (NaN for unknown); None where no resource can be seen."""
    rows = rows[-WINDOW:].astype(np.float64)
    most: list[float] | None = None
    for place, limit in zip(HEADROOM, LIMIT):
        name = NAMES[place]
        series = rows[::-1, place]
        ago = np.flatnonzero(~np.isnan(series))
        value = series[ago]
        level = value[ago < LEVEL_STEPS]
        if not len(level):
            continue
        found = one(name, float(limit), ago.astype(np.float64), value, float(np.median(level)),
                    name == "memory_ratio" and evicts(rows))
        most = found if most is None else [max(pair) for pair in zip(most, found)]
    return most


def one(name: str, limit: float, ago: np.ndarray, value: np.ndarray, used: float, harmless: bool) -> list[float]:
    severity = SEVERITY.get(name, 1.0)
    if harmless:
        return [0.0] * len(HORIZONS)
    if used >= limit:
        return [AT_LIMIT * severity] * len(HORIZONS)
    trends = [trend(ago[ago < span], value[ago < span]) for span in SPANS]
    spread = 0.0
    if trends[0] is not None:
        late = ago < SPANS[0]
        flat = value[late] + trends[0][0] * ago[late]
        distances = np.sort(np.abs(flat - np.median(flat)))
        spread = float(distances[len(distances) * 3 // 4])
    left = limit - used
    near = NEAR_MOST * logistic(NEAR_SHARPNESS * (1 - left / (NEAR_SPREADS * spread + NEAR_FLOOR)))
    out = []
    for horizon in HORIZONS:
        rising = [
            sureness * logistic(SHARPNESS * (1 - left / slope / horizon))
            for slope, sureness in filter(None, trends) if slope > 0
        ]
        out.append(severity * max([near, *rising]))
    return out
