"""Golden vectors: windows, what the rule says, what the model says. Rust must say the same within 1e-5."""

import numpy as np
from onnx.reference import ReferenceEvaluator

import rule
from contract import COUNT, NAMES, WINDOW, clip, windows


def cases(model, episodes, real) -> dict:
    run = ReferenceEvaluator(model)

    def case(name: str, rows: np.ndarray) -> dict:
        # Six digits in the file, and the same six digits here: what Rust reads is what was computed.
        rows = clip(np.array([[float(f"{v:.6g}") for v in row] for row in rows[-WINDOW:]]))
        risk = run.run(None, {"x": np.ascontiguousarray(windows(rows)[-1:])})[0][0]
        told = [[None if np.isnan(v) else float(f"{v:.6g}") for v in row] for row in rows]
        return {"name": name, "rows": told, "rule": rule.risk(rows), "risk": [float(p) for p in risk]}

    failing = [e for e in episodes if e.start is not None and e.visible and e.start > 90]
    kinds = {e.kind: e for e in reversed(failing)}
    out = [case(f"{kind}, {ahead} steps before it fails", e.rows[: e.start - ahead])
           for (kind, e), ahead in zip(sorted(kinds.items()), [3, 8, 20, 12, 5, 25, 2])]
    for kind in ("plateau", "full_cache", "filling_cache", "sawtooth"):
        some = next(e for e in episodes if e.kind == kind and e.start is None)
        out.append(case(f"look-alike: {kind}", some.rows[: len(some.rows) - 5]))
    some = failing[0].rows[: failing[0].start - 4]
    out += [case(f"a history of {n} steps", some[-n:]) for n in (1, 4, 17)]
    gaps = some[-WINDOW:].copy()
    gaps[np.arange(WINDOW) % 3 != 0] = np.nan
    out.append(case("two rows of three are unknown", gaps))
    out.append(case("everything is unknown", np.full((5, COUNT), np.nan)))
    if real:
        some = next(e for e in real if e.start is not None)
        out.append(case(f"a real redis-server, {some.kind}, 10 steps before it fails", some.rows[: some.start - 10]))
    return {"features": NAMES, "cases": out}
