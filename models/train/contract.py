"""The Python side of models/features.toml: names, places, scales."""

import hashlib
import math
import tomllib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "features.toml"
TEXT = FILE.read_bytes()
DIGEST = hashlib.sha256(TEXT).hexdigest()

_SPEC = tomllib.loads(TEXT.decode())
WINDOW: int = _SPEC["window"]
HORIZONS: list[int] = _SPEC["horizons"]
MISSING: float = _SPEC["missing"]
FEATURES: list[dict] = _SPEC["feature"]
NAMES: list[str] = [feature["name"] for feature in FEATURES]
COUNT = len(NAMES)
AT: dict[str, int] = {name: place for place, name in enumerate(NAMES)}
LOW = np.array([feature["low"] for feature in FEATURES], np.float32)
HIGH = np.array([feature["high"] for feature in FEATURES], np.float32)
# In the order of the file, with the resource that each stands for.
HEADROOM: list[int] = [place for place, feature in enumerate(FEATURES) if "resource" in feature]
LIMIT = np.array([FEATURES[place]["limit"] for place in HEADROOM], np.float32)

# What a level is multiplied with, and what the logarithm of a magnitude is multiplied with.
LINEAR = np.array([0.0 if f["kind"] == "magnitude" else 1.0 for f in FEATURES], np.float32)
LOGARITHM = np.array(
    [1.0 / math.log1p(f["high"]) if f["kind"] == "magnitude" else 0.0 for f in FEATURES], np.float32
)


def clip(rows: np.ndarray) -> np.ndarray:
    """Rows with NaN for unknown, clipped as the contract says; unknown stays NaN."""
    return np.clip(rows.astype(np.float32), LOW, HIGH)


def windows(rows: np.ndarray) -> np.ndarray:
    """Rows [n, features] with NaN for unknown to what a model reads at each step: [n, WINDOW, features], MISSING for unknown,
    histories that are shorter than the window at its end."""
    known = np.where(np.isnan(rows), np.float32(MISSING), rows).astype(np.float32)
    before = np.full((WINDOW - 1, COUNT), MISSING, np.float32)
    view = np.lib.stride_tricks.sliding_window_view(np.vstack([before, known]), WINDOW, axis=0)
    return view.transpose(0, 2, 1)
