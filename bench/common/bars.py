"""The closing lines of a bench, `bar NAME VALUE LIMIT ok|short`, and its JSON under build/bench/."""
import json
import os
import platform

from motet_server import BUILD


def machine():
    """CPU model, the instruction sets that matter, and cores in use."""
    model, flags = platform.processor(), set()
    for line in open("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            model = value.strip()
        if key.strip() == "flags":
            flags = set(value.split())
    wanted = ["avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8"]
    return {"cpu": model, "isa": [f for f in wanted if f in flags], "cores": len(os.sched_getaffinity(0))}


def print_machine(m):
    print(f"machine: {m['cpu']}, {m['cores']} cores, {' '.join(m['isa'])}")


class Bars:
    def __init__(self, name):
        self.name, self.bars, self.data = name, [], {"machine": machine()}

    def at_most(self, name, value, limit):
        self._add(name, value, limit, value <= limit)

    def at_least(self, name, value, limit):
        self._add(name, value, limit, value >= limit)

    def _add(self, name, value, limit, ok):
        self.bars.append({"name": name, "value": value, "limit": limit, "ok": bool(ok)})

    def finish(self):
        """Writes build/bench/NAME.json, prints the bars; the exit status: 0 if all are ok."""
        os.makedirs(os.path.join(BUILD, "bench"), exist_ok=True)
        with open(os.path.join(BUILD, "bench", self.name + ".json"), "w") as out:
            json.dump({"bench": self.name, "bars": self.bars, **self.data}, out, indent=1)
        for bar in self.bars:
            value = f"{bar['value']:.4g}" if isinstance(bar["value"], float) else bar["value"]
            print(f"bar {bar['name']} {value} {bar['limit']} {'ok' if bar['ok'] else 'short'}")
        return 0 if all(bar["ok"] for bar in self.bars) else 1
