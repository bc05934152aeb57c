#!/usr/bin/env python3
"""The checker finds what is planted, and nothing in what is sound. Then the tree itself is checked."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import layers  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))

PLANTED = [  # file, text, words that the violation must have (none: no violation)
    ("brain/sched/x.h", '#include "compute/device/pool.h"\n', "brain/sched may not include compute/device"),
    ("brain/sched/x.h", '#include "brain/control/loop.h"\n', "brain/sched may not include brain/control"),
    ("brain/control/x.cpp", "#include <thread>\n", "is pure"),
    ("brain/predict/x.cpp", "double f(double x) { return std::log(x); }\n", "log() of libm"),
    ("body/sim/x.cpp", '#include "body/serve/server.h"\n', "body/sim may not include body/serve"),
    ("body/serve/x.cpp", '#include "body/sim/world.h"\n', "body/serve may not include body/sim"),
    ("body/sim/x.cpp", "auto t = SteadyClock().now();\n", "no real clock"),
    ("base/x.h", '#include "base/tensor/tensor.h"\n', "base may not include base/tensor"),
    ("wire/front/http/x.cpp", '#include "brain/control/event.h"\n', "wire/front may not include brain/control"),
    ("compute/ops/conv/x.cpp", '#include "kernel.h"\n', "not written from src/"),
    ("compute/engine/x.cpp", '#include "compute/graph/graph.h"\n#include "base/result.h"\n', None),
    ("apps/x.cpp", '#include "body/serve/server.h"\n#include "wire/front/http/front.h"\n', None),
    ("brain/control/x_test.cpp", "#include <gtest/gtest.h>\nint exp(int);\n", None),
    ("brain/control/x.cpp", "// log(x) in a comment, \"exp(1)\"\ndouble stable_log(double);\n", None),
]


def planted(rules):
    failures = 0
    for path, text, words in PLANTED:
        with tempfile.TemporaryDirectory() as root:
            full = os.path.join(root, "src", path)
            os.makedirs(os.path.dirname(full))
            open(full, "w").write(text)
            found, _ = layers.check_tree(os.path.join(root, "src"), rules)
            good = (not found) if words is None else (len(found) == 1 and words in found[0])
            if not good:
                failures += 1
                print(f"planted {path!r} {text!r}: found {found}, expected {words!r}")
    return failures


def main():
    rules = layers.read_rules(os.path.join(HERE, "rules.txt"))
    failures = planted(rules)
    found, files = layers.check_tree(os.path.normpath(os.path.join(HERE, "..", "..", "src")), rules)
    print("\n".join(found))
    print(f"{len(PLANTED)} planted files, {failures} misjudged; {files} files of src/, {len(found)} violations")
    return 1 if failures or found else 0


if __name__ == "__main__":
    sys.exit(main())
