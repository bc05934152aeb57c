#!/usr/bin/env python3
"""layers.py [--root DIR] [--rules FILE]: checks every include under src/ against the layering rules, and the three laws of
docs/design.md as far as text shows them. Prints one line a violation, `file:line: what`, and exits 1 if there is any.

The laws, beside the rooms of rules.txt:
 - brain/ and body/sim have no thread, lock, socket, file, clock, standard random engine or hash-ordered container;
 - brain/ and base/ call nothing of libm but sqrt and what IEEE defines exactly (fabs, floor, ceil, trunc, isnan, isinf, isfinite);
 - the machine's clock (SteadyClock, std::chrono clocks) and sleeping are for apps/, body/serve, body/load, compute/ and wire/;
 - body/serve and body/sim never see each other.
Test files (*_test.cpp) follow their room's row and may include gtest; laws on clocks and libm do not bind them.
"""
import argparse
import os
import re
import sys

PURE = ("brain", "body/sim")
BANNED_HEADERS = {
    "thread", "mutex", "shared_mutex", "condition_variable", "future", "semaphore", "stop_token", "atomic", "fstream", "iostream",
    "filesystem", "chrono", "ctime", "time.h", "random", "unordered_map", "unordered_set", "unistd.h", "pthread.h", "fcntl.h", "dlfcn.h",
}
LIBM = re.compile(r"(?<![\w.:>])(?:std::)?(log|log2|log10|log1p|exp|exp2|expm1|pow|sin|cos|tan|atan|atan2|tanh|sinh|cosh|cbrt|hypot|erf|lgamma|tgamma)f?\s*\(")
CLOCK = re.compile(r"\bSteadyClock\b|\bstd::chrono::(steady|system|high_resolution)_clock\b|\bclock_gettime\b|\bsleep_for\b|\bsleep_until\b|\busleep\b|\bnanosleep\b")
CLOCK_ALLOWED = ("apps", "body/serve", "body/load", "compute", "wire")
CLOCK_DEFINED = "base/clock.h"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def read_rules(path):
    rules = {}
    for number, line in enumerate(open(path), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        room, colon, allowed = line.partition(":")
        if not colon:
            raise SystemExit(f"{path}:{number}: a rule is `room: rooms`, not {line!r}")
        rules[room.strip()] = allowed.split()
    for room, allowed in rules.items():
        for name in allowed:
            if name != "*" and name not in rules:
                raise SystemExit(f"{path}: {room} names the unknown room {name!r}")
    return rules


def room_of(folder, rules):
    parts = folder.split("/")
    while parts:
        if "/".join(parts) in rules:
            return "/".join(parts)
        parts.pop()
    return None


def closure(room, rules):
    """All rooms that `room` may include."""
    seen, todo = set(), [room]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += rules.get(name, [])
    return set(rules) if "*" in seen else seen


def strip_comments(text):
    """Comments and string literals blanked, line numbers kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def check_file(path, src, rules):
    relative = os.path.relpath(path, src).replace(os.sep, "/")
    folder = os.path.dirname(relative)
    room = room_of(folder, rules)
    if room is None:
        return [f"{path}:1: {folder}/ is in no room of the rules"]
    allowed = closure(room, rules)
    is_test = relative.endswith("_test.cpp") or relative.endswith("_test.h")
    pure = any(room == p or room.startswith(p + "/") for p in PURE)
    text = open(path, encoding="utf-8").read()
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, target = match.groups()
        if kind == '"':
            other = room_of(os.path.dirname(target), rules)
            if other is None:
                found.append(f'{path}:{number}: "{target}" is not written from src/ as "room/file.h"')
            elif other not in allowed:
                found.append(f'{path}:{number}: {room} may not include {other} ("{target}")')
        elif pure and not is_test and (target in BANNED_HEADERS or target.startswith(("sys/", "boost/", "grpc", "linux/"))):
            found.append(f"{path}:{number}: {room} is pure and may not include <{target}>")
    code = strip_comments(text)
    for number, line in enumerate(code.split("\n"), 1):
        if is_test:
            break
        if (match := LIBM.search(line)) and (room.startswith("brain") or room == "base") and relative != "base/math.h":
            found.append(f"{path}:{number}: {match.group(1)}() of libm; use base/math.h")
        if (match := CLOCK.search(line)) and relative != CLOCK_DEFINED and not any(room == a or room.startswith(a + "/") for a in CLOCK_ALLOWED):
            found.append(f"{path}:{number}: {match.group(0)}: {room} has no real clock; take the time as an argument")
    return found


def check_tree(src, rules):
    found, files = [], 0
    for folder, subfolders, names in os.walk(src):
        subfolders.sort()
        for name in sorted(names):
            if name.endswith((".h", ".cpp")):
                files += 1
                found += check_file(os.path.join(folder, name), src, rules)
    return found, files


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.path.join(here, "..", ".."))
    parser.add_argument("--rules", default=os.path.join(here, "rules.txt"))
    arguments = parser.parse_args()
    src = os.path.normpath(os.path.join(arguments.root, "src"))
    found, files = check_tree(src, read_rules(arguments.rules))
    for line in found:
        print(line)
    print(f"{files} files, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
