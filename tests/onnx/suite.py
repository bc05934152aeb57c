#!/usr/bin/env python3
"""Runs the ONNX node suite against the engine: every case of cases.tar.xz, whatever its opset.

    suite.py             runs all cases, checks what must hold, and that docs/operators.md is what they show (a ctest)
    suite.py --write     writes docs/operators.md

What must hold: no case gives a wrong result, none crashes, every refusal says why; of the counted cases (those whose every
op is in torch_ops.txt, with FLOAT, INT32, INT64 and BOOL tensors only) at least 95 % pass; and of every op in torch_ops.txt
that has a case, one passes.
"""
import argparse
import collections
import hashlib
import os
import re
import subprocess
import sys
import tarfile

import onnx
from onnx import defs

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("MOTET_BUILD", os.path.join(ROOT, "build"))
RUNNER = os.path.join(BUILD, "tests", "onnx", "onnx_cases")
DOCS = os.path.join(ROOT, "docs", "operators.md")
LEAST_SHARE = 0.95
BATCH = 200  # cases one process runs
RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
COUNTED_TYPES = {onnx.TensorProto.FLOAT, onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL}

Case = collections.namedtuple("Case", "name opset ops types plain")  # plain: tensors only, the standard domain only
Verdict = collections.namedtuple("Verdict", "word detail")


def unpack():
    """The folder with the cases, unpacked once a build folder."""
    archive = os.path.join(HERE, "cases.tar.xz")
    with open(archive, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()[:16]
    folder = os.path.join(BUILD, "onnx-cases", digest)
    if not os.path.isdir(folder):
        scratch = f"{folder}.{os.getpid()}"
        with tarfile.open(archive) as tar:
            tar.extractall(scratch)
        try:
            os.rename(scratch, folder)
        except OSError:  # another process was faster
            if not os.path.isdir(folder):
                raise
    return os.path.join(folder, "onnx", "backend", "test", "data", "node")


def nodes_of(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes_of(attribute.g)


def describe(folder, name):
    model = onnx.load(os.path.join(folder, name, "model.onnx"))
    nodes = list(nodes_of(model.graph)) + [n for f in model.functions for n in f.node]
    own = {(f.domain, f.name) for f in model.functions}
    domains = {n.domain for n in nodes if (n.domain, n.op_type) not in own} - {"", "ai.onnx"}
    ports = list(model.graph.input) + list(model.graph.output) + list(model.graph.value_info)
    types = {p.type.tensor_type.elem_type for p in ports if p.type.HasField("tensor_type")}
    types |= {t.data_type for t in model.graph.initializer}
    types |= {a.t.data_type for n in nodes for a in n.attribute if a.HasField("t")}
    opset = max([o.version for o in model.opset_import if o.domain in ("", "ai.onnx")], default=0)
    plain = not domains and all(p.type.HasField("tensor_type") for p in ports)
    ops = {n.op_type for n in nodes if n.domain in ("", "ai.onnx")}
    return Case(name, opset, frozenset(ops), frozenset(types - {0}), plain)


def run(folder, names, executor):
    """Verdicts by name. A process that dies takes the case that it had begun, and no other, with it."""
    verdicts, waiting = {}, list(names)
    while waiting:
        batch = waiting[:BATCH]
        done = subprocess.run([RUNNER, folder, executor], input="".join(n + "\n" for n in batch), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        begun = None
        for line in done.stdout.splitlines():
            word, name, *detail = line.split(" ", 2)
            if word == "begin":
                begun = name
            else:
                verdicts[name] = Verdict(word, detail[0] if detail else "")
        if done.returncode != 0:
            if begun is None or begun in verdicts:
                raise SystemExit(f"{RUNNER} ended with {done.returncode}: {done.stderr.strip()}")
            last = done.stderr.strip().splitlines()
            verdicts[begun] = Verdict("crash", f"status {done.returncode}: {last[-1] if last else ''}")
        waiting = [n for n in waiting if n not in verdicts]
    return verdicts


def listed_ops():
    with open(os.path.join(HERE, "torch_ops.txt")) as file:
        return set(file.read().split())


class Results:
    def __init__(self, executor="native"):
        self.folder = unpack()
        self.cases = {name: describe(self.folder, name) for name in sorted(os.listdir(self.folder))}
        self.verdicts = run(self.folder, self.cases, executor)
        self.listed = listed_ops()
        self.counted = [c for c in self.cases.values() if c.plain and c.ops <= self.listed and c.types <= COUNTED_TYPES]

    def having(self, word):
        return [c for c in self.cases.values() if self.verdicts[c.name].word == word]

    def share(self):
        return sum(self.verdicts[c.name].word == "pass" for c in self.counted) / len(self.counted)

    def without_a_pass(self):
        """Listed ops that have cases, none of which passes."""
        tried = {op for c in self.cases.values() for op in c.ops}
        passed = {op for c in self.having("pass") for op in c.ops}
        return sorted(self.listed & tried - passed)

    def unexplained(self):
        """Refusals that name neither an op of the case nor a type or opset that is not held."""
        def names_it(case, reason):
            named = any(re.search(rf"\b{op}\b", reason) for op in case.ops)
            return named or re.search(r"opset \d+|data type|domain|sequence|optional|type|output|input", reason)
        return [c.name for c in self.having("refused") if not names_it(c, self.verdicts[c.name].detail)]


def reason_of(detail):
    """A refusal without what belongs to one case alone."""
    detail = re.sub(r"^model file '[^']*': ", "", detail)
    detail = re.sub(r"^node '[^']*'( \(\w+\))?: ", "", detail)
    detail = re.sub(r"^model\.[^,]*, byte \d+: ", "", detail)
    detail = re.sub(r"^'[^']*' (?=has element|is an? )", "", detail)
    detail = re.sub(r"has element type \d+; accepted.*", "an element type that is not held (float4, float8, int2, int4)", detail)
    # Which of the faster implementations refuse first depends on the CPU; the last one's word is final.
    detail = re.sub(r"; onednn: .*?(?=; (reference|own): )", "", detail)
    detail = re.sub(r" '[^']*'", "", detail)
    return re.sub(r"\[[-\d,?]*\]", "", detail).replace("|", "/").strip()


def refusal_of(case, detail):
    """(op, reason): the op that a refusal names, or "" where the whole model is meant."""
    reason = reason_of(detail)
    named = re.match(r"nothing here runs (?:[\w.]+:)?(\w+) \(opset \d+\)", reason)
    if named:
        return named.group(1), re.sub(r"^nothing here runs \S+ (\(opset \d+\))( of [^;:]*)?[;:] ", r"\1 ", reason)
    return (min(case.ops) if len(case.ops) == 1 else ""), reason


def implementations():
    lines = subprocess.run([RUNNER, "--implementations"], text=True, check=True, stdout=subprocess.PIPE).stdout
    return {op: rest.split() for op, *tail in (line.split(" ", 1) for line in lines.splitlines()) for rest in tail}


def since(op, opset):
    try:
        return defs.get_schema(op, min(opset, defs.onnx_opset_version())).since_version
    except defs.SchemaError:
        return None


def render(results):
    own = implementations()
    passed, refused, versions = collections.Counter(), collections.Counter(), collections.defaultdict(set)
    reasons, whole = collections.defaultdict(collections.Counter), collections.Counter()
    for case in results.cases.values():
        word, detail = results.verdicts[case.name]
        if word == "refused":
            op, reason = refusal_of(case, detail)
            if op:
                refused[op] += 1
                reasons[op][reason] += 1
            else:
                whole[reason] += 1
        if word != "pass":
            continue
        for op in case.ops:
            passed[op] += 1
            version = since(op, case.opset)
            if version is not None:
                versions[op].add(version)
    out = ["# Operators", "",
           "Generated by `tests/onnx/suite.py --write` from the ONNX node suite and the table of implementations; do not edit.",
           "",
           f"{len(results.cases)} cases: {len(results.having('pass'))} pass, {len(results.having('refused'))} are refused, "
           f"{len(results.having('wrong'))} are wrong, {len(results.having('crash'))} crash. Of the {len(results.counted)} counted ones "
           f"(ops that PyTorch's exporters name; f32, i32, i64 and bool) {100 * results.share():.1f} % pass.", "",
           "Versions are those of the op, as ONNX counts them, that a passing case uses; models of opsets 7 to 28 are read. "
           "Implementations stand in the order in which they are asked: \"onednn\" calls oneDNN, \"reference\" is the plain "
           "loop that every other one is tested against, \"data\" makes results whose extents only the data tell, \"body\" "
           "runs its bodies' nodes, and the others are kernels of our own. A refusal counts for the op that it names.", "",
           "| op | versions | implementations | passed | refused |", "|---|---|---|---|---|"]
    for op in sorted(set(own) | set(passed) | set(refused)):
        listed = ", ".join(str(v) for v in sorted(versions[op]))
        why = "; ".join(f"{n}: {reason}" for reason, n in sorted(reasons[op].items(), key=lambda r: (-r[1], r[0])))
        kinds = ", ".join(own.get(op, ["-"]))
        out.append(f"| {op} | {listed or '-'} | {kinds} | {passed[op]} | {why or '-'} |")
    out += ["", "Refused whole, whatever their ops:", "", "| cases | reason |", "|---|---|"]
    out += [f"| {n} | {reason} |" for reason, n in sorted(whole.items(), key=lambda r: (-r[1], r[0]))]
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/operators.md")
    arguments = parser.parse_args()
    results = Results()
    page = render(results)
    if arguments.write:
        with open(DOCS, "w") as out:
            out.write(page)
    faults = [f"{c.name}: {' '.join(results.verdicts[c.name])}" for word in ("wrong", "crash") for c in results.having(word)]
    faults += [f"{name}: the refusal does not say why: {results.verdicts[name].detail}" for name in results.unexplained()]
    faults += [f"no case of {op} passes" for op in results.without_a_pass()]
    if results.share() < LEAST_SHARE:
        faults.append(f"{100 * results.share():.2f} % of the counted cases pass; at least {100 * LEAST_SHARE:.0f} % must")
    if not os.path.exists(DOCS) or open(DOCS).read() != page:
        faults.append("docs/operators.md is not what the cases show: run tests/onnx/suite.py --write")
    for fault in faults:
        print(fault)
    print(f"{len(results.cases)} cases, {len(results.having('pass'))} pass; counted {len(results.counted)}, "
          f"{100 * results.share():.2f} % pass")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
