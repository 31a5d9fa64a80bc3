"""Run-to-failure episodes of a real redis-server, when they are there (../shared/data/redis_rtf beside the repository).

They were recorded by another generator with sixteen columns, one step a second; its README says what they mean.
"""

from pathlib import Path

import numpy as np

from contract import AT, COUNT, ROOT, clip
from generate import Episode

FOLDER = ROOT.parent.parent / "shared" / "data" / "redis_rtf"

# Column of the record, feature, divisor of the logarithm it was squeezed by (None: a plain ratio).
COLUMNS = [
    (0, "request_rate", 10), (1, "error_ratio", None), (2, "timeout_ratio", None), (3, "connect_failure_ratio", None),
    (4, "latency_p50", 10), (5, "latency_p99", 10), (6, "in_flight", 5), (7, "cpu_ratio", None),
    (8, "memory_ratio", None), (9, "eviction_rate", 10), (11, "disk_pending", 5), (14, "connections_ratio", None),
    (15, "disk_ratio", None),
]


def episodes(folder: Path = FOLDER) -> list[Episode]:
    return [read(path) for path in sorted(folder.glob("*.npz"))] if folder.is_dir() else []


def read(path: Path) -> Episode:
    with np.load(path, allow_pickle=False) as record:
        x, label, scenario = record["x"].astype(np.float64), record["label"], str(record["scenario"])
    rows = np.full((len(x), COUNT), np.nan)
    for column, name, divisor in COLUMNS:
        value = x[:, column]
        value = np.where(value < 0, np.nan, value)
        rows[:, AT[name]] = value if divisor is None else np.expm1(value * divisor)
    rows[:, AT["memory_evicts"]] = 0.0          # all of them ran with noeviction
    start = int(np.argmax(label)) if label.any() else None
    return Episode(name=path.stem, kind=scenario, rows=clip(rows), start=start, visible=True, minute=0)


def lane(episode: Episode) -> str:
    return episode.name.split("_")[0]
