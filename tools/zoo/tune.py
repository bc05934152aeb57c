"""Makes a freshly seeded network behave like a trained one as far as arithmetic shows: statistics that fit its activations,
outputs of a sane size that depend on the inputs. With default weights they are near-constant, and prove nothing.
"""
import torch

import spec

CALIBRATION_SEED, CHECK_SEED = 11, 12
CALIBRATION_BATCH = 8
RANGE_LEAST, RANGE_MOST, APART_LEAST = 0.1, 1000.0, 0.1


def feed(inputs, seed, batch, length):
    return [torch.from_numpy(x) for x in spec.feed(inputs, seed, batch, length).values()]


@torch.no_grad()
def calibrate(entry, module, inputs):
    """Batch-norm statistics of one seeded batch; then the head's outputs over that batch with mean 0 and deviation 1."""
    sample = feed(inputs, CALIBRATION_SEED, CALIBRATION_BATCH, spec.USUAL_LENGTH)
    norms = [m for m in module.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        # A freshly initialised deep network (gains 1, biases 0) is chaotic: ResNet-50 multiplies a rounding error by 500.
        torch.nn.init.uniform_(norm.weight, 0.5, 1)
        torch.nn.init.uniform_(norm.bias, 0, 1)
        norm.reset_running_stats()
        norm.momentum = None  # the average of what it sees
        norm.train()
    if norms:
        module(*sample)
    for norm in (m for m in module.modules() if isinstance(m, torch.nn.GroupNorm)):
        torch.nn.init.uniform_(norm.weight, 0.5, 1)  # by default 1 and 0, which exporters and engines leave out
        torch.nn.init.uniform_(norm.bias, 0, 1)
    module.eval()
    if entry.head:
        rescale(module, module.get_submodule(entry.head), sample)


def rescale(module, head, sample):
    seen = []
    handle = head.register_forward_hook(lambda _m, _i, out: seen.append(out))
    module(*sample)
    handle.remove()
    out = seen[-1]
    if isinstance(head, torch.nn.Conv2d):
        out = out.movedim(1, -1)
    out = out.reshape(-1, out.shape[-1])
    factor = 1.0 / (out - out.mean(0)).std().clamp_min(1e-6)
    head.weight.mul_(factor)
    if head.bias is not None:
        head.bias.sub_(out.mean(0)).mul_(factor)


@torch.no_grad()
def check(name, outputs, module, inputs):
    """The worst output's (range, distance of two different inputs over that range); an error where that proves nothing."""
    first, second = (outputs_of(module, inputs, seed, spec.USUAL_LENGTH) for seed in (CHECK_SEED, CHECK_SEED + 1))
    worst = None
    for output, a, b in zip(outputs, first, second, strict=True):
        span = float(torch.maximum(a.max(), b.max()) - torch.minimum(a.min(), b.min()))
        apart = float((a - b).abs().max()) / span if span else 0.0
        if not RANGE_LEAST <= span <= RANGE_MOST:
            raise SystemExit(f"{name}: output {output} has range {span:.4g}, not within {RANGE_LEAST} to {RANGE_MOST}")
        if apart < APART_LEAST:
            raise SystemExit(f"{name}: output {output} of two inputs differs by {apart:.3g} of its range, at least {APART_LEAST} is wanted")
        if worst is None or apart < worst[1]:
            worst = (span, apart)
    return worst


def outputs_of(module, inputs, seed, length):
    out = module(*feed(inputs, seed, 1, length))
    return [out] if isinstance(out, torch.Tensor) else list(out)
