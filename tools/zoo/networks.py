"""Convolutional networks that torchvision has not, written from their papers: NASNet-A, BiT's ResNetV2, U-Net."""
import torch
from torch import nn
from torch.nn import functional as F

from spec import Entry
from vision import classes, image


class Separable(nn.Module):
    """Two rounds of ReLU, depthwise and pointwise convolution, batch norm."""

    def __init__(self, source, width, kernel, stride=1):
        super().__init__()
        layers = []
        for channels, step in ((source, stride), (width, 1)):
            layers += [nn.ReLU(), nn.Conv2d(channels, channels, kernel, step, kernel // 2, groups=channels, bias=False),
                       nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


class Adjust(nn.Sequential):
    """ReLU, pointwise convolution, batch norm: to the cell's width; with a stride where the skipped cell halved the image."""

    def __init__(self, source, width, stride=1):
        super().__init__(nn.ReLU(), nn.Conv2d(source, width, 1, stride, bias=False), nn.BatchNorm2d(width))


def average(stride=1):
    return nn.AvgPool2d(3, stride, 1, count_include_pad=False)


def pool(stride=1):
    return nn.MaxPool2d(3, stride, 1)


class NormalCell(nn.Module):
    """NASNet-A's normal cell (Zoph et al. 2018, fig. 4, left): five sums of pairs, concatenated with the older input."""

    def __init__(self, older, newer, width, stride):
        super().__init__()
        self.older, self.newer = Adjust(older, width, stride), Adjust(newer, width)
        pairs = [(5, 3), (5, 3), (3,)]
        self.separable = nn.ModuleList(Separable(width, width, kernel) for pair in pairs for kernel in pair)
        self.average = average()

    def forward(self, older, newer):
        p, h = self.older(older), self.newer(newer)
        s = self.separable
        pooled = self.average(p)
        return torch.cat([p, s[0](h) + s[1](p), s[2](p) + s[3](p), self.average(h) + p, pooled + pooled, s[4](h) + h], 1)


class ReductionCell(nn.Module):
    """NASNet-A's reduction cell (same figure, right): the image halves."""

    def __init__(self, older, newer, width, stride):
        super().__init__()
        self.older, self.newer = Adjust(older, width, stride), Adjust(newer, width)
        self.separable = nn.ModuleList([Separable(width, width, 5, 2), Separable(width, width, 7, 2), Separable(width, width, 7, 2),
                                        Separable(width, width, 5, 2), Separable(width, width, 3)])
        self.largest, self.average_half, self.average = pool(2), average(2), average()

    def forward(self, older, newer):
        p, h = self.older(older), self.newer(newer)
        s = self.separable
        first = s[0](h) + s[1](p)
        second = self.largest(h) + s[2](p)
        third = self.average_half(h) + s[3](p)
        return torch.cat([self.largest(h) + s[4](first), self.average(first) + second, third, second], 1)


class NasNet(nn.Module):
    """Stem, then stages of normal cells with a reduction cell before each but the first; every cell sees the last two outputs."""

    def __init__(self, stem, width, cells, labels):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem))
        self.cells = nn.ModuleList()
        older, newer, older_stride = stem, stem, 1
        for stage in range(4):
            wide = width * 2**max(stage - 1, 0)
            kinds = ([ReductionCell] if stage else []) + [NormalCell] * cells
            for kind in kinds:
                self.cells.append(kind(older, newer, wide, older_stride))
                older, newer = newer, wide * (4 if kind is ReductionCell else 6)
                older_stride = 2 if kind is ReductionCell else 1
        self.head = nn.Linear(newer, labels)

    def forward(self, x):
        older = newer = self.stem(x)
        for cell in self.cells:
            older, newer = newer, cell(older, newer)
        return self.head(F.relu(newer).mean((2, 3)))


class StandardConv(nn.Conv2d):
    """Weight standardisation (Qiao et al. 2019): each filter with mean 0 and variance 1."""

    def forward(self, x):
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        return F.conv2d(x, (self.weight - mean) / torch.sqrt(variance + 1e-10), None, self.stride, self.padding)


class PreActivation(nn.Module):
    """ResNetV2's bottleneck as BiT has it (Kolesnikov et al. 2020): group norm and ReLU before each convolution."""

    def __init__(self, source, width, stride, groups):
        super().__init__()
        middle = width // 4
        self.norms = nn.ModuleList(nn.GroupNorm(groups, c) for c in (source, middle, middle))
        self.convs = nn.ModuleList([StandardConv(source, middle, 1, bias=False), StandardConv(middle, middle, 3, stride, 1, bias=False),
                                    StandardConv(middle, width, 1, bias=False)])
        self.shortcut = StandardConv(source, width, 1, stride, bias=False) if stride > 1 or source != width else None

    def forward(self, x):
        out = F.relu(self.norms[0](x))
        residual = self.shortcut(out) if self.shortcut else x
        out = self.convs[0](out)
        for norm, conv in zip(self.norms[1:], self.convs[1:]):
            out = conv(F.relu(norm(out)))
        return out + residual


class BigTransfer(nn.Module):
    def __init__(self, width, depths, groups, labels):
        super().__init__()
        # BiT pads with zeros and pools without padding; ONNX Runtime 1.30 merges the two, wrongly for what is below zero.
        self.stem = nn.Sequential(StandardConv(3, width, 7, 2, 3, bias=False), nn.MaxPool2d(3, 2, 1))
        blocks, source = [], width
        for stage, depth in enumerate(depths):
            wide = width * 4 * 2**stage
            for place in range(depth):
                blocks.append(PreActivation(source, wide, 2 if stage and not place else 1, groups))
                source = wide
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.GroupNorm(groups, source)
        self.head = nn.Conv2d(source, labels, 1)

    def forward(self, x):
        x = F.relu(self.norm(self.blocks(self.stem(x))))
        return self.head(F.adaptive_avg_pool2d(x, 1)).flatten(1)


class Double(nn.Sequential):
    def __init__(self, source, width):
        layers = []
        for channels in (source, width):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        super().__init__(*layers)


class UNet(nn.Module):
    """Ronneberger et al. 2015 with padding and batch norm: four halvings, four transposed convolutions, skips by concatenation."""

    def __init__(self, width, labels):
        super().__init__()
        widths = [width * 2**i for i in range(5)]
        self.down = nn.ModuleList(Double(a, b) for a, b in zip([3] + widths, widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(widths[:-1]))
        self.merge = nn.ModuleList(Double(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, labels, 1)

    def forward(self, x):
        skips = []
        for level, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
        return self.head(x)


def nasnet(toy):
    return (NasNet(8, 6, 1, classes(toy)), image(64)) if toy else (NasNet(32, 44, 3, classes(toy)), image(224))


def bit(toy):
    return (BigTransfer(6, (1, 1, 1, 1), 2, classes(toy)), image(64)) if toy else (BigTransfer(64, (3, 4, 6, 3), 32, classes(toy)), image(224))


def unet(toy):
    return (UNet(3, 2), image(32)) if toy else (UNet(32, 2), image(256))


ENTRIES = [
    Entry("nasnet", "conv", nasnet, ["logits"], "head"),
    Entry("bit_resnetv2", "conv", bit, ["logits"], "head"),
    Entry("unet", "conv", unet, ["logits"], "head"),
]
