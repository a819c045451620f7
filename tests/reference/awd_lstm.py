#!/usr/bin/env python3
"""Writes awd_lstm.json: losses, states, features and gradients that src/model must give for a tiny AWD-LSTM.

Everything is computed here a second time, in float64, with plain PyTorch modules (nn.Embedding's rows, nn.LSTM, nn.BatchNorm1d,
nn.functional) and a Philox4x32-10 written in numpy, so that model, dropouts and generator are checked against something
that shares no code with them:

lm, lm_dropped                  one window of a language model from a given state, with and without the five dropouts;
                                loss = mean cross-entropy + 2 * mean(dropped^2) + 1 * mean((h[t+1] - h[t])^2)
                                (Merity et al. 2017; fastai's RNNRegularizer)
classifier, classifier_dropped  documents of several lengths, padded behind and masked, [last, max, mean] pooled over one long
                                unroll, then the head of batch norm, dropout, linear; mean cross-entropy
classifier_dropped_by_window    the same with other masks in each window of four tokens, counted from the document's last (but for
                                the recurrent weights, which have one mask a batch)
masks                           the dropout masks themselves

Weights are a closed form of their number and index: see closed_form(). Run (any PyTorch from 2.0 on, and numpy):
    python3 tests/reference/awd_lstm.py > tests/reference/awd_lstm.json
"""
import json
import sys

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

V, E, H, LAYERS, T, B = 11, 6, 8, 3, 5, 3
WIDTHS_IN, WIDTHS_OUT = [E, H, H], [H, H, E]
SEED, STEP = 0x0123456789ABCDEF, (3 << 32) + 17
STREAMS = [5, 2, 70000]
RATES = {"output": 0.4, "hidden": 0.3, "input": 0.4, "embedding": 0.3, "weight": 0.5}
DOCUMENTS = [7, 3, 12, 5, 1, 9, 4, 6]
SLOTS = [9, 0, 4, 1, 30, 12, 7, 2]
LABELS = [2, 0, 1, 2, 1, 0, 0, 2]
WINDOW = 4
HEAD = [3 * E, 5, 3]
HEAD_DROPS = [0.4, 0.2]
EMBEDDING_DROPOUT, INPUT_DROPOUT, HIDDEN_DROPOUT, OUTPUT_DROPOUT, WEIGHT_DROPOUT, HEAD_DROPOUT = 4, 5, 6, 7, 8, 9


def closed_form(number, shape, scale):
    """scale * sin(1.3 (i + 1) + 2.1 number), rounded to float32."""
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    values = (scale * np.sin(1.3 * (i + 1) + 2.1 * number)).astype(np.float32).astype(np.float64)
    return torch.tensor(values.reshape(shape))


def token(i):
    return (7 * i + 3) % V


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011) on an array of counters [n, 4] with one key."""
    c = [counter[:, j].astype(np.uint64) for j in range(4)]
    k = [np.uint64(key[0]), np.uint64(key[1])]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p = np.uint64(0xD2511F53) * c[0]
        q = np.uint64(0xCD9E8D57) * c[2]
        c = [(q >> np.uint64(32)) ^ c[1] ^ k[0], q & low, (p >> np.uint64(32)) ^ c[3] ^ k[1], p & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return np.stack(c, axis=1)


def words(purpose, stream, n, window=0):
    """The first n 32-bit draws of a key: counter {block, stream, step low, step high (16 bits) + purpose (16)}, key = seed. A
    document's windows count in units of 2^32 steps."""
    step = STEP + (window << 32)
    blocks = (n + 3) // 4
    counter = np.zeros((blocks, 4), dtype=np.uint64)
    counter[:, 0] = np.arange(blocks)
    counter[:, 1] = stream
    counter[:, 2] = step & 0xFFFFFFFF
    counter[:, 3] = ((step >> 32) & 0xFFFF) | (purpose << 16)
    return philox(counter, (SEED & 0xFFFFFFFF, SEED >> 32)).reshape(-1)[:n]


def mask(purpose, stream, n, drop, window=0):
    kept = words(purpose, stream, n, window) < np.uint64(round((1 - drop) * 2**32))
    return torch.tensor(np.where(kept, 1 / (1 - drop), 0.0))


def locked_mask(purpose, layer, streams, width, drop):
    return torch.stack([mask(purpose, stream + (layer << 24), width, drop) for stream in streams])


def windowed_mask(purpose, layer, streams, width, drop, windows):
    """[T, B, width]: of each place the mask of its window."""
    known = {}
    for window, stream in {(w, s) for row in windows for w, s in zip(row, streams)}:
        known[window, stream] = mask(purpose, stream + (layer << 24), width, drop, window)
    return torch.stack([torch.stack([known[w, s] for w, s in zip(row, streams)]) for row in windows])


class Encoder:
    """nn.LSTM layers over rows of an embedding, with leaves for gradients."""

    def __init__(self):
        self.parameters = {"embedding.weight": closed_form(0, (V, E), 1.5)}
        number = 1
        for layer in range(LAYERS):
            rows = 4 * WIDTHS_OUT[layer]
            for name, shape in (("weight_ih", (rows, WIDTHS_IN[layer])), ("weight_hh", (rows, WIDTHS_OUT[layer])),
                                ("bias_ih", (rows,)), ("bias_hh", (rows,))):
                self.parameters[f"rnn.{layer}.{name}"] = closed_form(number, shape, 1.2)
                number += 1
        self.parameters["decoder.bias"] = closed_form(number, (V,), 0.3)
        for tensor in self.parameters.values():
            tensor.requires_grad_(True)
        self.modules = [nn.LSTM(WIDTHS_IN[layer], WIDTHS_OUT[layer]).double() for layer in range(LAYERS)]

    def __call__(self, x, state, streams=None, windows=None):
        """x [T, B] -> top [T, B, E] and the final (h, c) of each layer; streams: whose dropout masks, None: no dropout; windows
        [T][B]: of which window, None: there is one."""
        if windows is None:
            windows = [[0] * x.shape[1]] * x.shape[0]
        out = F.embedding(x, self.parameters["embedding.weight"])
        if streams is not None:
            by_window = {w: mask(EMBEDDING_DROPOUT, 0, V, RATES["embedding"], w) for w in {w for row in windows for w in row}}
            out = out * torch.stack([torch.stack([by_window[w][i] for w, i in zip(row, ids)]) for row, ids in zip(windows, x)]).unsqueeze(2)
            out = out * windowed_mask(INPUT_DROPOUT, 0, streams, E, RATES["input"], windows)
        final = []
        for layer, module in enumerate(self.modules):
            weights = {f"{name}_l0": self.parameters[f"rnn.{layer}.{name}"]
                       for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
            if streams is not None:
                raw = weights["weight_hh_l0"]
                weights["weight_hh_l0"] = raw * mask(WEIGHT_DROPOUT, layer, raw.numel(), RATES["weight"]).reshape(raw.shape)
            h, c = state[layer]
            out, (h, c) = functional_call(module, weights, (out, (h.unsqueeze(0), c.unsqueeze(0))))
            final.append((h.squeeze(0), c.squeeze(0)))
            if streams is not None and layer + 1 < LAYERS:
                out = out * windowed_mask(HIDDEN_DROPOUT, layer, streams, WIDTHS_OUT[layer], RATES["hidden"], windows)
        return out, final


def flat(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().reshape(-1).tolist()]


def gradients(parameters):
    return {name: flat(p.grad) for name, p in parameters.items() if p.grad is not None}


def language_model(dropped):
    encoder = Encoder()
    x = torch.tensor([[token(t * B + b) for b in range(B)] for t in range(T)])
    y = torch.tensor([[token(t * B + b + 5) for b in range(B)] for t in range(T)])
    state = [(closed_form(100 + layer, (B, WIDTHS_OUT[layer]), 0.5), closed_form(200 + layer, (B, WIDTHS_OUT[layer]), 0.8))
             for layer in range(LAYERS)]
    top, final = encoder(x, state, STREAMS if dropped else None)
    out = top * locked_mask(OUTPUT_DROPOUT, 0, STREAMS, E, RATES["output"]) if dropped else top
    logits = F.linear(out, encoder.parameters["embedding.weight"], encoder.parameters["decoder.bias"])
    cross_entropy = F.cross_entropy(logits.reshape(T * B, V), y.reshape(-1))
    ar = 2 * out.pow(2).mean()
    tar = 1 * (top[1:] - top[:-1]).pow(2).mean()
    (cross_entropy + ar + tar).backward()
    return {"cross_entropy": cross_entropy.item(), "ar": ar.item(), "tar": tar.item(), "top": flat(top),
            "h": [flat(h) for h, _ in final], "c": [flat(c) for _, c in final], "gradients": gradients(encoder.parameters)}


def documents():
    """Token lists: word i of document d is token(i + 13 d)."""
    return [[token(i + 13 * d) for i in range(n)] for d, n in enumerate(DOCUMENTS)]


def windows_of_documents(longest):
    """[T][B]: 0 in a document's last window, 1 in the one before."""
    return [[max(-(-n // WINDOW) - t // WINDOW - 1, 0) for n in DOCUMENTS] for t in range(longest)]


def features(encoder, dropped, by_window=False):
    lists = documents()
    longest = max(len(tokens) for tokens in lists)
    x = torch.tensor([[tokens[t] if t < len(tokens) else 0 for tokens in lists] for t in range(longest)])
    zero = [(torch.zeros(len(lists), w, dtype=torch.float64),) * 2 for w in WIDTHS_OUT]
    top, _ = encoder(x, zero, SLOTS if dropped else None, windows_of_documents(longest) if by_window else None)
    rows = []
    for d, tokens in enumerate(lists):
        states = top[:len(tokens), d]
        rows.append(torch.cat([states[-1], states.max(0).values, states.mean(0)]))
    return torch.stack(rows)


def head_forward(blocks, x, parameters, dropped):
    for k, (norm, linear) in enumerate(blocks):
        x = functional_call(norm, {"weight": parameters[f"head.{k}.bn.weight"], "bias": parameters[f"head.{k}.bn.bias"]}, (x,))
        if dropped:
            x = x * locked_mask(HEAD_DROPOUT, k, SLOTS, HEAD[k], HEAD_DROPS[k])
        x = functional_call(linear, {"weight": parameters[f"head.{k}.linear.weight"]}, (x,))
        if k + 1 < len(blocks):
            x = F.relu(x)
    return x


def classifier(dropped, by_window=False):
    encoder = Encoder()
    blocks = [(nn.BatchNorm1d(HEAD[k]).double(), nn.Linear(HEAD[k], HEAD[k + 1], bias=False).double())
              for k in range(len(HEAD) - 1)]
    parameters = {}
    for k in range(len(HEAD) - 1):
        parameters[f"head.{k}.bn.weight"] = 1 + closed_form(300 + k, (HEAD[k],), 0.25)
        parameters[f"head.{k}.bn.bias"] = closed_form(310 + k, (HEAD[k],), 0.5)
        parameters[f"head.{k}.linear.weight"] = closed_form(320 + k, (HEAD[k + 1], HEAD[k]), 0.6)
    for tensor in parameters.values():
        tensor.requires_grad_(True)
    pooled = features(encoder, dropped, by_window)
    logits = head_forward(blocks, pooled, parameters, dropped)
    loss = F.cross_entropy(logits, torch.tensor(LABELS))
    loss.backward()
    for norm, _ in blocks:
        norm.eval()
    with torch.no_grad():
        evaluated = head_forward(blocks, features(encoder, False), parameters, False)
    return {"features": flat(pooled), "logits": flat(logits), "loss": loss.item(), "evaluation_logits": flat(evaluated),
            "running_mean": [flat(norm.running_mean) for norm, _ in blocks],
            "running_var": [flat(norm.running_var) for norm, _ in blocks],
            "gradients": {**gradients(encoder.parameters), **gradients(parameters)}}


def main():
    masks = {
        "embedding": flat(mask(EMBEDDING_DROPOUT, 0, V, RATES["embedding"])),
        "input": flat(locked_mask(INPUT_DROPOUT, 0, STREAMS, E, RATES["input"])),
        "hidden": [flat(locked_mask(HIDDEN_DROPOUT, layer, STREAMS, H, RATES["hidden"])) for layer in range(LAYERS - 1)],
        "output": flat(locked_mask(OUTPUT_DROPOUT, 0, STREAMS, E, RATES["output"])),
        "weight": [flat(mask(WEIGHT_DROPOUT, layer, 4 * w * w, RATES["weight"])) for layer, w in enumerate(WIDTHS_OUT)],
    }
    json.dump({"masks": masks, "lm": language_model(False), "lm_dropped": language_model(True),
               "classifier": classifier(False), "classifier_dropped": classifier(True),
               "classifier_dropped_by_window": classifier(True, True)}, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
