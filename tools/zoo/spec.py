"""What the zoo is made of: a model's entry, and its inputs, whose values any language can repeat from a seed.

An element's value depends on its input's name, a seed and its place in the tensor only: `mix` is SplitMix64's output function
(Steele, Lea, Flood 2014), applied to a counter. tests/zoo/values.cpp computes the same.
"""
import dataclasses
from typing import Callable, Sequence

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
BATCH = "batch"
LENGTH = "length"
USUAL_LENGTH = 128  # what benches take where a length is open
DTYPES = {"f32": np.float32, "i64": np.int64, "bool": np.bool_}


@dataclasses.dataclass(frozen=True)
class Input:
    """`dims`: numbers and the words `batch` and `length`. `kind`: `image`, `uniform`, `integer` (each from `low` up to
    `high`, integers below it), or `prefix`: ones up to a place that differs from sample to sample, at least one of them.
    """
    name: str
    dtype: str
    dims: Sequence
    kind: str
    low: float = 0
    high: float = 1

    def shape(self, batch, length):
        return [{BATCH: batch, LENGTH: length}.get(d, d) for d in self.dims]


@dataclasses.dataclass(frozen=True)
class Entry:
    """`build(toy)` returns a module whose weights come from torch's generator, and its Inputs; `outputs` names what it
    returns, or is a function of `toy` that does; `head`, if not empty, names the module that makes the outputs and may be
    rescaled. `lengths` is empty unless an input's extent besides the batch is open.
    """
    name: str
    family: str  # conv, mobile, attention or memory: the bars of bench-zoo are by family
    build: Callable
    outputs: Sequence[str] | Callable
    head: str = ""
    lengths: Sequence[int] = ()

    def output_names(self, toy):
        return list(self.outputs(toy) if callable(self.outputs) else self.outputs)


def mix(counter):
    z = counter * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def stream(name, seed):
    """FNV-1a of the name, then the seed: where an input's counters begin."""
    h = np.uint64(0xCBF29CE484222325)
    for byte in name.encode():
        h = (h ^ np.uint64(byte)) * np.uint64(0x100000001B3)
    return mix(h ^ np.uint64(seed))


def unit(bits):
    """[0, 1) by steps of 2^-24, exact in single precision."""
    return (bits >> np.uint64(40)).astype(np.float64) * 2.0**-24


def values(given, seed, batch, length):
    with np.errstate(over="ignore"):
        return _values(given, seed, batch, length)


def _values(given, seed, batch, length):
    shape = given.shape(batch, length)
    count = int(np.prod(shape))
    start = stream(given.name, seed)
    index = np.arange(count, dtype=np.uint64)
    bits = mix(start + index)
    if given.kind == "integer":
        out = int(given.low) + (bits >> np.uint64(33)) % np.uint64(given.high - given.low)
    elif given.kind == "uniform":
        out = given.low + (given.high - given.low) * unit(bits)
    elif given.kind == "image":
        out = given.low + (given.high - given.low) * image(start, bits, index, shape)
    elif given.kind == "prefix":
        extent = np.uint64(shape[-1])
        row = index // extent
        kept = np.uint64(1) + mix(start + row) % extent
        out = index % extent < kept
    else:
        raise ValueError(f"input kind '{given.kind}' is not one of image, uniform, integer, prefix")
    return out.astype(DTYPES[given.dtype]).reshape(shape)


def image(start, bits, index, shape):
    """A grey of its own for each plane, stripes of 16 rows and grain: images that differ in more than noise."""
    plane = np.uint64(shape[-1] * shape[-2])
    stripe = np.uint64(shape[-1] * 16)
    grey = unit(mix(~(start + index // plane)))
    stripes = unit(mix((start ^ np.uint64(0x5555)) + index // stripe))
    return 0.4 * grey + 0.3 * stripes + 0.3 * unit(bits)


def feed(inputs, seed, batch, length):
    return {i.name: values(i, seed, batch, length) for i in inputs}
