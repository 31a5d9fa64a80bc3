"""models/controls: models that keep the contract and know nothing. What works with them works without a model.

`python3 controls.py` writes them again after a change of the contract.
"""

import numpy as np
import onnx

import graph
from contract import HORIZONS, ROOT

OUT = ROOT / "controls"


def zero() -> onnx.ModelProto:
    """Says 0 of every window."""
    g = graph.Graph()
    most = g.op("ReduceMax", "x", axes=[1, 2], keepdims=0)
    one = g.op("Unsqueeze", g.op("Mul", most, g.constant(0.0)), g.constant([1], np.int64))
    g.op("Concat", *[one] * len(HORIZONS), name="risk", axis=1)
    return graph.finish(g, "risk", len(HORIZONS), {"contract": "1"})


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    onnx.save(zero(), OUT / "zero.onnx")
