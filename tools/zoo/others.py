"""A bidirectional LSTM tagger and DLRM: models whose weights are read more than computed with."""
import torch
from torch import nn

from spec import BATCH, LENGTH, Entry, Input


class Tagger(nn.Module):
    """Ids to tag scores: embedding, two bidirectional LSTM layers, a linear layer."""

    def __init__(self, words, width, hidden, tags):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, hidden, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * hidden, tags)

    def forward(self, words):
        return self.head(self.lstm(self.embedding(words))[0])


class Dlrm(nn.Module):
    """Naumov et al. 2019: dense features through a perceptron, one row of each of 26 tables, all dot products of pairs, a
    perceptron over them and the dense vector. Table t has `rows[t]` rows; ids are taken modulo that, as hashed features are.
    """

    def __init__(self, rows, width, bottom, top):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(r, width) for r in rows)
        self.bottom = perceptron([13, *bottom, width])
        count = len(rows) + 1
        i, j = torch.tril_indices(count, count, -1)
        self.register_buffer("pairs", i * count + j)
        self.top = perceptron([width + count * (count - 1) // 2, *top])
        self.head = nn.Linear(top[-1], 1)

    def forward(self, dense, ids):
        x = self.bottom(dense)
        rows = [table(ids[:, t] % table.num_embeddings) for t, table in enumerate(self.tables)]
        features = torch.stack([x, *rows], 1)
        products = torch.bmm(features, features.transpose(1, 2)).flatten(1)[:, self.pairs]
        return self.head(self.top(torch.cat([x, products], 1)))


def perceptron(widths):
    return nn.Sequential(*(layer for a, b in zip(widths, widths[1:]) for layer in (nn.Linear(a, b), nn.ReLU())))


def tagger(toy):
    words = 96 if toy else 30000
    net = Tagger(words, 16, 24, 9) if toy else Tagger(words, 256, 512, 17)
    return net, [Input("words", "i64", [BATCH, LENGTH], "integer", 0, words)]


def dlrm(toy):
    rows = [10 + 3 * t for t in range(26)] if toy else [1000 * (1 + t * t % 97) for t in range(26)]
    net = Dlrm(rows, 8, [16], [32, 16]) if toy else Dlrm(rows, 64, [512, 256], [512, 256])
    return net, [Input("dense", "f32", [BATCH, 13], "uniform", 0, 4), Input("ids", "i64", [BATCH, 26], "integer", 0, 1 << 20)]


ENTRIES = [
    Entry("lstm_tagger", "memory", tagger, ["scores"], "head", lengths=(1, 17, 128)),
    Entry("dlrm", "memory", dlrm, ["click"], "head"),
]
