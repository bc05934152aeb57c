#!/usr/bin/env python3
"""The ONNX node suite, every case whatever its opset: run natively, and what is refused once more with a foreign executor.

Counted are the cases whose every op is one that PyTorch's exporters name (tests/onnx/torch_ops.txt), with f32, i32, i64 and
bool tensors only. tests/onnx/suite.py holds the rules of comparison.
"""
import collections
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "bench", "common"), os.path.join(ROOT, "tests", "onnx")]
from bars import Bars, print_machine  # noqa: E402
import suite  # noqa: E402


def main():
    bars = Bars("onnx")
    print_machine(bars.data["machine"])
    results = suite.Results()
    for word in ("pass", "refused", "wrong", "crash"):
        cases = results.having(word)
        print(f"{word:8} {len(cases):5} of {len(results.cases)}, {sum(c in results.counted for c in cases):5} of {len(results.counted)} counted")
    for word in ("wrong", "crash"):
        for case in results.having(word):
            print(f"{word} {case.name}: {results.verdicts[case.name].detail}")
    reasons = collections.Counter(suite.refusal_of(c, results.verdicts[c.name].detail) for c in results.having("refused"))
    print("refused most often:")
    for (op, reason), count in reasons.most_common(12):
        print(f"  {count:4} {op or 'model'}: {reason[:140]}")
    # What is drawn at random cannot be compared.
    again = [c.name for c in results.having("refused") if not c.ops & suite.RANDOM]
    elsewhere = suite.run(results.folder, again, "auto")
    words = collections.Counter(v.word if v.word != "pass" else v.detail for v in elsewhere.values())
    for name, verdict in elsewhere.items():
        if verdict.word in ("wrong", "crash"):
            print(f"foreign {verdict.word} {name}: {verdict.detail}")
    print("of those refused, by a foreign executor: " + ", ".join(f"{n} {word}" for word, n in sorted(words.items())))
    bars.data["cases"] = {name: list(verdict) for name, verdict in results.verdicts.items()}
    bars.data["foreign"] = {name: list(verdict) for name, verdict in elsewhere.items()}
    bars.at_most("onnx_wrong", len(results.having("wrong")), 0)
    bars.at_most("onnx_crashes", len(results.having("crash")), 0)
    bars.at_most("onnx_foreign_wrong_or_crashed", words["wrong"] + words["crash"], 0)
    bars.at_least("onnx_counted_native_share", results.share(), suite.LEAST_SHARE)
    bars.at_most("onnx_listed_ops_without_a_pass", len(results.without_a_pass()), 0)
    return bars.finish()


if __name__ == "__main__":
    sys.exit(main())
