"""bench-zoo --check: every output of the full models against ONNX Runtime's, at batch 1, 3 and 8 and every length."""
import os
import subprocess

import cells

BATCHES = (1, 3, 8)
SEED = 21
TOLERANCE = 1e-4


def difference(model, session, batch, length):
    """Largest |y - ort| over the largest |ort|, of the worst output."""
    import numpy as np

    source, result = (os.path.join(cells.RESULTS, f"check.{end}.npz") for end in ("in", "out"))
    feed = model.feed(SEED, batch, length)
    np.savez(source, **feed)
    subprocess.run([cells.MOTET, "run", model.path, "--inputs", source, "--outputs", result], check=True)
    got = np.load(result)
    worst = 0.0
    for output, want in zip(session.get_outputs(), session.run(None, feed)):
        apart = float(np.abs(got[output.name] - want).max() / np.abs(want).max())
        worst = apart if not apart <= worst else worst  # a NaN stays
    for path in (source, result):
        os.remove(path)
    return worst


def run(bars, models, only):
    import onnxruntime as ort

    bars.data["differences"] = {}
    for model in models.values():
        if not any(part in model.name for part in only):
            continue
        session = ort.InferenceSession(model.path, providers=["CPUExecutionProvider"])
        worst = 0.0
        for batch in BATCHES:
            for length in model.lengths or [cells.spec.USUAL_LENGTH]:
                apart = difference(model, session, batch, length)
                worst = apart if not apart <= worst else worst
        bars.data["differences"][model.name] = worst
        print(f"{model.name:<16} {worst:.2g}", flush=True)
        bars.at_most(f"zoo-difference-{model.name}", worst, TOLERANCE)
    return bars.finish()
