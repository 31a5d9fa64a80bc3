"""Episodes of stores that run out of something, and of stores that only look like it.

The generator draws, for each resource, a path of used / limit; faults and benign look-alikes share the same shapes and
durations, and differ only in where the path ends: beyond the limit, or somewhere up to 0.99 of it. What clients see follows from
the paths, and the label follows from what clients see. Nothing of that is measured from real stores: how far it holds is for
real records to say (records.py).
"""

from dataclasses import dataclass

import numpy as np

from contract import AT, COUNT, HIGH, clip

# A store has failed when clients see this for STEPS_BAD steps in a row.
ERRORS_BAD, P99_BAD_MS, STEPS_BAD = 0.05, 250.0, 3

FAULTS = ["memory", "connections", "disk", "host_memory", "cpu", "throttled", "slow"]
BENIGN = [
    "plateau", "plateau", "plateau",       # a ramp that ends below the limit
    "recovered", "recovered",              # somebody frees the resource in time
    "full_cache", "filling_cache",         # memory at its limit, and keys are evicted
    "sawtooth", "fork", "batch", "spike", "blips", "quiet", "quiet",
]
# Shapes that only the shifted set has: what a model never saw in training.
SHAPES = ["linear", "power", "saturating", "stairs", "walk", "saw", "late"]
SHAPES_HELD_OUT = ["exponential", "stop_and_go"]


@dataclass
class Episode:
    name: str
    kind: str                # the fault or the look-alike
    rows: np.ndarray         # [n, features], NaN for unknown
    start: int | None        # step at which the store fails
    visible: bool            # whether the resource that fails is measured at all
    minute: int              # of the day, at the first step


def shape(rng, name: str, p: np.ndarray) -> np.ndarray:
    """A path from 0 to 1 over p in [0, 1]; flat outside."""
    p = np.clip(p, 0, 1)
    if name == "power":
        return p ** rng.uniform(0.5, 3.0)
    if name == "saturating":
        k = rng.uniform(1.5, 4.0)
        return (1 - np.exp(-k * p)) / (1 - np.exp(-k))
    if name == "exponential":
        k = rng.uniform(2.0, 5.0)
        return (np.exp(k * p) - 1) / (np.exp(k) - 1)
    if name == "stairs":
        steps = rng.integers(3, 12)
        return np.round(p * steps) / steps
    if name == "late":
        knee = rng.uniform(0.4, 0.8)
        low = rng.uniform(0.1, 0.4)
        return np.where(p < knee, low * p / knee, low + (1 - low) * (p - knee) / (1 - knee))
    if name in ("walk", "stop_and_go"):
        going = (p > 0) & (p < 1)
        pace = rng.gamma(0.4, 1.0, len(p)) if name == "walk" else np.repeat(
            rng.random(len(p) // 7 + 1) < 0.5, 7)[: len(p)].astype(float)
        path = np.cumsum(np.where(going, pace + 0.02, 0.0))
        return path / max(path[-1], 1e-9) if going.any() else p
    if name == "saw":
        teeth, depth = rng.integers(2, 8), rng.uniform(0.05, 0.25)
        return np.where(p >= 1, 1.0, np.maximum(0, p - depth * ((p * teeth) % 1.0) * (1 - p)))
    return p


def ramp(rng, n: int, begin: float, end: float, shapes: list[str]) -> np.ndarray:
    """A path of n steps from begin to end that starts somewhere and takes anything from minutes to hours."""
    lasts = int(np.exp(rng.uniform(np.log(12), np.log(300))))
    starts = int(rng.integers(5, max(6, n - lasts // 2)))
    p = (np.arange(n) - starts) / lasts
    return begin + (end - begin) * shape(rng, str(rng.choice(shapes)), p)


def smooth(rng, n: int, scale: float, memory: float = 0.9) -> np.ndarray:
    """Noise that remembers (AR 1) with the given standard deviation."""
    steps = rng.normal(0, scale * np.sqrt(1 - memory**2), n)
    out, value = np.empty(n), rng.normal(0, scale)
    for i, step in enumerate(steps):
        value = memory * value + step
        out[i] = value
    return out


def resources(rng, n: int) -> dict[str, np.ndarray]:
    """What each resource does by itself: a level of its own, a slow drift, noise."""
    out = {}
    for name, low, high in [("memory", 0.05, 0.85), ("connections", 0.02, 0.6), ("disk", 0.1, 0.8),
                            ("host_memory", 0.2, 0.85), ("cpu", 0.02, 0.6)]:
        level = rng.uniform(low, high)
        drift = rng.normal(0, 0.05) * np.arange(n) / n
        noise = rng.choice([0.001, 0.004, 0.012]) * (3 if name == "cpu" else 1)
        out[name] = level + drift + smooth(rng, n, noise) + rng.normal(0, noise / 2, n)
    return out


def episode(seed: int, index: int, shifted: bool = False) -> Episode:
    rng = np.random.default_rng([seed, index])
    n = int(rng.integers(90, 420))
    t = np.arange(n)
    shapes = SHAPES_HELD_OUT if shifted else SHAPES
    minute = int(rng.integers(0, 1440))
    failing = rng.random() < 0.45
    kind = str(rng.choice(FAULTS)) if failing else str(rng.choice(BENIGN))
    abrupt = rng.random() < 0.03                      # power, kernel, network: no notice, and nothing to learn
    use = resources(rng, n)
    evicts = rng.random() < 0.35
    writes = rng.uniform(0.08, 0.6)
    fresh = rng.uniform(0.08, 0.5)                    # share of requests on a new connection
    load = np.exp(smooth(rng, n, rng.uniform(0.02, 0.2))) * (
        1 + rng.uniform(0, 0.5) * np.sin(2 * np.pi * ((t + minute) / 1440)))
    p50 = np.exp(rng.normal(-0.7, 0.8)) * np.exp(smooth(rng, n, 0.08))
    tail = rng.uniform(2, 12) * np.exp(smooth(rng, n, 0.2))
    throttled, slow, background = np.zeros(n), np.ones(n), np.zeros(n)
    evicted = np.zeros(n)
    fork = np.zeros(n)

    def move(name: str, end: float) -> None:
        """Sends a resource along a ramp from where it is."""
        path = ramp(rng, n, 0.0, 1.0, shapes)
        use[name] = use[name] * (1 - path) + (end + smooth(rng, n, 0.003)) * path

    def exhaust(what: str) -> None:
        nonlocal throttled, slow, evicts
        if what == "throttled":
            quota = ramp(rng, n, 1.0, rng.uniform(0.02, 0.3), shapes)
            throttled = 1 - quota
            use["cpu"] = np.maximum(use["cpu"], 0.1) / quota
        elif what == "slow":
            slow = np.exp(ramp(rng, n, 0.0, rng.uniform(4, 8), shapes))
        else:
            evicts = evicts and what != "memory"
            move(what, rng.uniform(1.01, 1.3))

    def look_alike(what: str) -> None:
        nonlocal throttled, slow, evicts, evicted, background, fork
        any_resource = str(rng.choice(["memory", "connections", "disk", "host_memory", "cpu"]))
        top = rng.uniform(0.6, 0.99) if any_resource not in ("cpu", "host_memory") else rng.uniform(0.5, 0.93)
        if what == "plateau":
            if rng.random() < 0.2:
                slow = np.exp(ramp(rng, n, 0.0, rng.uniform(0.5, 2.5), shapes))
            elif rng.random() < 0.15:
                quota = ramp(rng, n, 1.0, rng.uniform(0.5, 0.9), shapes)
                throttled = 1 - quota
                use["cpu"] = np.minimum(use["cpu"], 0.4) / quota
            else:
                move(any_resource, top)
        elif what == "recovered":
            before = use[any_resource].copy()
            # On its way beyond the limit, and nobody could tell from the path that somebody will help.
            move(any_resource, rng.uniform(1.01, 1.3))
            over = np.flatnonzero(use[any_resource] >= top)
            if len(over):
                back = rng.uniform(0.2, 0.9) * top
                use[any_resource][over[0]:] = np.minimum(before[over[0]:], back)
        elif what in ("full_cache", "filling_cache"):
            evicts = True
            ceiling = rng.uniform(0.96, 1.0)
            if what == "full_cache":
                use["memory"] = np.full(n, ceiling)
            else:
                move("memory", 1.4)
            full = use["memory"] >= ceiling
            use["memory"] = np.minimum(use["memory"], ceiling) + rng.normal(0, 0.0015, n)
            evicted = full * rng.uniform(1, 300) * load
        elif what == "sawtooth":
            period, top = rng.integers(15, 120), rng.uniform(0.6, 0.98)
            teeth = ((t + rng.integers(0, 120)) % period) / period
            use[any_resource] = top * (rng.uniform(0.2, 0.8) + 0.0 * t)
            use[any_resource] += (top - use[any_resource]) * teeth ** rng.uniform(0.6, 1.6)
            if any_resource == "cpu":
                use["cpu"] = np.minimum(use["cpu"], 0.9)
        elif what == "fork":
            fork = (((t + rng.integers(0, 60)) % rng.integers(20, 90)) < 2).astype(float)
            use["memory"] = np.minimum(use["memory"] + fork * rng.uniform(0.02, 0.15), 0.97)
            use["host_memory"] = np.minimum(use["host_memory"] + fork * rng.uniform(0.02, 0.3), 0.95)
        elif what == "batch":
            # A background job takes the rest of the CPU, and gives way.
            begins = rng.integers(5, n)
            background = ((t >= begins) & (t < begins + rng.integers(10, 120))) * rng.uniform(0.3, 0.9)
        elif what == "spike":
            at, width = rng.integers(5, n), rng.uniform(3, 40)
            bump = np.exp(-0.5 * ((t - at) / width) ** 2) * rng.uniform(0.5, 2.0)
            use["cpu"] = np.minimum(use["cpu"] * (1 + bump), 0.92)
            use["connections"] = np.minimum(use["connections"] * (1 + bump), 0.97)

    exhaust(kind) if failing else look_alike(kind)
    if rng.random() < (0.6 if shifted else 0.3):
        look_alike(str(rng.choice(BENIGN)))
    if failing and rng.random() < (0.25 if shifted else 0.1):
        exhaust(str(rng.choice(FAULTS)))
    if failing and kind == "memory":
        evicts, evicted = False, np.zeros(n)

    # What clients see.
    cpu = np.maximum(use["cpu"], 0.005) * np.where(throttled > 0, 1, np.clip(load, 0.3, 1.6) ** 0.3)
    busy = np.minimum(cpu, 0.999)
    queue = 1 + rng.uniform(0.3, 2) * busy**6 / (1 - busy) ** 1.1
    over = np.cumsum(np.maximum(cpu - 1.0, 0.0)) * 40
    swapping = 1 + np.maximum(use["host_memory"] - 0.95, 0) * rng.uniform(200, 900)
    p99 = p50 * tail * queue * swapping * slow * (1 + fork * rng.uniform(0, 6)) + over * p50 * 20
    p50 = p50 * queue**0.5 * swapping**0.5 * slow ** rng.uniform(0.1, 0.7)
    blips = rng.random(n) < (0.03 if kind == "blips" or shifted else 0.004)
    p99 = np.where(blips, p99 * rng.uniform(3, 60, n), p99)
    timeouts = np.clip((p99 - 300) / 2000, 0, 0.6)
    errors = np.where(blips & (rng.random(n) < 0.5), rng.uniform(0, 0.2, n), rng.choice([0, 1e-4, 2e-3]))
    refuses = (use["memory"] >= 1.0) & (not evicts)
    errors = np.where(refuses | (use["disk"] >= 1.0), writes, errors)
    connect_failures = np.where(use["connections"] >= 1.0, fresh, 0.0)
    killed = np.zeros(n, bool)
    if abrupt:
        killed[rng.integers(20, n):] = True
    killed |= np.maximum.accumulate(use["host_memory"] >= 1.0)
    errors = np.where(killed, 1.0, errors)
    bad = (errors + timeouts + connect_failures >= ERRORS_BAD) | (p99 >= P99_BAD_MS)
    run = np.convolve(bad, np.ones(STEPS_BAD), "valid") >= STEPS_BAD
    start = int(np.argmax(run)) if run.any() else None

    rate = np.exp(rng.normal(5.5, 1.5)) * load * np.where(killed, 0, 1)
    rows = np.full((n, COUNT), np.nan)

    def put(name: str, values) -> None:
        rows[:, AT[name]] = values

    put("request_rate", rate)
    put("error_ratio", errors)
    put("timeout_ratio", timeouts)
    put("connect_failure_ratio", connect_failures)
    put("latency_p50", p50)
    put("latency_p99", p99)
    put("in_flight", rate / 1000 * (0.9 * p50 + 0.1 * p99) + 1)
    put("cpu_ratio", np.minimum(cpu + background, rng.uniform(1.0, 1.05)))
    put("cpu_throttled_ratio", np.clip(throttled * np.minimum(cpu, 1) + rng.normal(0, 0.005, n), 0, 1))
    put("memory_ratio", np.minimum(use["memory"], 1.03))
    put("memory_evicts", float(evicts))
    put("eviction_rate", evicted)
    put("host_memory_ratio", np.minimum(use["host_memory"], 1.0))
    put("memory_pressure_ratio", np.clip((use["host_memory"] - 0.9) * rng.uniform(0, 6) + rng.normal(0, 0.005, n), 0, 1))
    put("connections_ratio", np.minimum(use["connections"], 1.0))
    put("rejected_rate", connect_failures * rate)
    put("disk_ratio", np.minimum(use["disk"], 1.0))
    put("disk_pending", rng.poisson(rng.choice([0.02, 0.5])) + fork * rng.uniform(0, 5))
    put("io_pressure_ratio", np.clip(rng.normal(rng.uniform(0, 0.1), 0.02, n) + fork * 0.2, 0, 1))
    put("replication_lag", np.abs(rng.normal(0, rng.choice([0.2, 1.0]), n)) * queue)

    # What is measured of it.
    ratio_noise = rng.choice([0.0, 0.002, 0.008]) * (2 if shifted else 1)
    for name in ("memory_ratio", "host_memory_ratio", "connections_ratio", "disk_ratio", "cpu_ratio"):
        rows[:, AT[name]] += rng.normal(0, ratio_noise, n)
    hide(rng, rows)
    return Episode(
        name=f"{'shifted' if shifted else 'plain'}-{seed}-{index}",
        kind="abrupt" if start is not None and abrupt and killed[start] else kind,
        rows=clip(rows), start=start, visible=seen(kind, rows, abrupt), minute=minute,
    )


HOST = ["cpu_ratio", "cpu_throttled_ratio", "host_memory_ratio", "memory_pressure_ratio", "disk_ratio", "disk_pending",
        "io_pressure_ratio"]


def hide(rng, rows: np.ndarray) -> None:
    """Takes away what isn't measured: whole sources, single features, single readings, stretches of time."""
    if rng.random() < 0.25:
        rows[:, [AT[name] for name in HOST]] = np.nan
    if rng.random() < 0.3:
        rows[:, AT["memory_evicts"]] = np.nan
    rows[:, rng.random(COUNT) < 0.06] = np.nan
    rows[rng.random(rows.shape) < rng.choice([0.0, 0.01, 0.05])] = np.nan
    if rng.random() < 0.1:
        at = rng.integers(0, len(rows))
        rows[at:at + rng.integers(2, 12)] = np.nan


MEASURE = {"memory": "memory_ratio", "connections": "connections_ratio", "disk": "disk_ratio", "slow": "latency_p99",
           "host_memory": "host_memory_ratio", "cpu": "cpu_ratio", "throttled": "cpu_throttled_ratio"}


def seen(kind: str, rows: np.ndarray, abrupt: bool) -> bool:
    return not abrupt and kind in MEASURE and not np.isnan(rows[:, AT[MEASURE[kind]]]).all()


def episodes(seed: int, count: int, shifted: bool = False) -> list[Episode]:
    return [episode(seed, index, shifted) for index in range(count)]


if __name__ == "__main__":
    from collections import Counter

    some = episodes(1, 600)
    print("steps", sum(len(e.rows) for e in some), "failures", sum(e.start is not None for e in some))
    print("drawn ", Counter(e.kind for e in some).most_common())
    print("failed", Counter(e.kind for e in some if e.start is not None).most_common())
    print("seen  ", Counter(e.kind for e in some if e.start is not None and e.visible).most_common())
    print("at the start", sum(e.start is not None and e.start < 8 for e in some), HIGH[:3])
