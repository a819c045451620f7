#!/usr/bin/env python3
"""Writes fastai_training.json: losses, AR, TAR and gradients of one training step of fastai's language model and classifier,
with the dropout masks that ulmfit draws.

fastai's own modules compute it in float64 (get_language_model, get_text_classifier, RNNRegularizer with its defaults, alpha 2 and
beta 1); in place of its random masks they are handed those of awd_lstm.py, by their order of use. Weights are those of awd_lstm.py.

lm                                one window from a given state
4, 8, 12                          six documents of equal length, so that fastai's means, which count padding, and ours, which do
                                  not, are over the same elements: one, two and three windows of 4 tokens, gradients over the last
                                  two; without dropout
4_dropped, 8_dropped, 12_dropped  with it, other masks in each window counted from the last, but for those of the recurrent weights
mixed                             documents of several lengths in two windows, padded in front by whole windows as fastai's loader
                                  does, without dropout; what fastai adds then, for the difference that its padding makes

"float32" tells, of the language model and of the classifiers without padding, how far fastai in float32 is from fastai in float64:
the largest difference of the losses and of any gradient, as a share of the largest value of the losses and of that gradient, with
torch's kernels for three kinds of CPU (of one they differ by a factor of four in a single gradient).

    fastai_training.py > fastai_training.json     (fastai 2.7 or newer, and numpy)
    fastai_training.py --check                    prints the largest difference from the stored file, and in float64 from awd_lstm.py's
                                                  language model, which shares no code with fastai
"""
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from fastai.text.all import (AWD_LSTM, RNNRegularizer, TensorText, awd_lstm_clas_config, awd_lstm_lm_config, get_language_model, get_text_classifier,
                             pad_input_chunk)
from fastai.text.models import awdlstm
from torch.nn import functional as F

import awd_lstm
from awd_lstm import (B, E, EMBEDDING_DROPOUT, H, HEAD_DROPOUT, HIDDEN_DROPOUT, INPUT_DROPOUT, LAYERS, OUTPUT_DROPOUT, RATES, STREAMS, T, V, WEIGHT_DROPOUT,
                      WIDTHS_OUT, closed_form, flat, locked_mask, mask)

WINDOW, KEPT = 4, 2
HEAD = [3 * E, 5, 3]
HEAD_DROPS = [0.4, 0.2]
LABELS = [2, 0, 1, 2, 1, 0]
PADDING = 1  # fastai's: no text may hold it
SIZES = {"emb_sz": E, "n_hid": H, "n_layers": LAYERS}
DROPS = {"output_p": RATES["output"], "hidden_p": RATES["hidden"], "input_p": RATES["input"], "embed_p": RATES["embedding"], "weight_p": RATES["weight"]}


def token(i):
    return 2 if awd_lstm_token(i) == PADDING else awd_lstm_token(i)


awd_lstm_token = awd_lstm.token


class Masks:
    """In place of fastai's dropout_mask and of torch's dropout: ours, in fastai's order of use."""

    def __init__(self, streams, windows=1, output=False):
        self.streams, self.windows, self.used = streams, windows, 0
        self.order = [(EMBEDDING_DROPOUT, 0), (INPUT_DROPOUT, 0)] + [(HIDDEN_DROPOUT, layer) for layer in range(LAYERS - 1)]
        self.order += [(OUTPUT_DROPOUT, 0)] if output else []

    def rows(self, purpose, layer, width, drop, window):
        return torch.stack([mask(purpose, stream + (layer << 24), width, drop, window) for stream in self.streams])

    def dropout_mask(self, x, size, p):
        purpose, layer = self.order[self.used % len(self.order)]
        window = self.windows - 1 - self.used // len(self.order)  # counted from the last
        self.used += 1
        made = mask(purpose, 0, V, p, window) if purpose == EMBEDDING_DROPOUT else self.rows(purpose, layer, size[-1], p, window)
        return made.reshape(size).to(x.dtype)

    def dropout(self, x, p=0.5, training=True, inplace=False):
        if not training or p == 0:
            return x
        if x.dim() == 2 and x.shape[0] == 4 * x.shape[1]:
            layer = next(i for i in self.layers if self.layers[i] is x)
            return x * mask(WEIGHT_DROPOUT, layer, x.numel(), p).reshape(x.shape).to(x.dtype)
        return x * locked_mask(HEAD_DROPOUT, HEAD.index(x.shape[1]), self.streams, x.shape[1], p).to(x.dtype)

    def over(self, encoder):
        self.layers = {i: rnn.weight_hh_l0_raw for i, rnn in enumerate(encoder.rnns)}
        return mock.patch.multiple(awdlstm, dropout_mask=self.dropout_mask), mock.patch.object(F, "dropout", self.dropout)


def leaves_of(encoder):
    leaves = {"embedding.weight": encoder.encoder.weight}
    assert encoder.encoder_dp.emb is encoder.encoder
    for layer, rnn in enumerate(encoder.rnns):
        for ours, theirs in (("weight_ih", rnn.module.weight_ih_l0), ("weight_hh", rnn.weight_hh_l0_raw),
                             ("bias_ih", rnn.module.bias_ih_l0), ("bias_hh", rnn.module.bias_hh_l0)):
            leaves[f"rnn.{layer}.{ours}"] = theirs
    with torch.no_grad():
        for number, (name, leaf) in enumerate(leaves.items()):
            leaf.copy_(closed_form(number, tuple(leaf.shape), 1.5 if name == "embedding.weight" else 1.2))
    return leaves


def penalties(raw, out):
    added = {}
    for name, alpha, beta in (("ar", 2.0, 0.0), ("tar", 0.0, 1.0), ("both", 2.0, 1.0)):
        regularizer = RNNRegularizer(alpha=alpha, beta=beta)
        regularizer.learn = SimpleNamespace(training=True, loss_grad=torch.zeros((), dtype=raw.dtype), rnn=SimpleNamespace(raw_out=raw, out=out))
        with mock.patch.object(torch.Tensor, "float", lambda x: x):  # it casts to float32 whatever the model computes in
            regularizer.after_loss()
        added[name] = regularizer.learn.loss_grad
    return added


def result(loss, raw, out, leaves):
    added = penalties(raw, out)
    (loss + added["both"]).backward()
    return {"losses": torch.stack([loss, added["ar"], added["tar"]]).detach(), "gradients": {n: p.grad.detach() for n, p in leaves.items()}}


def language_model(dtype):
    model = get_language_model(AWD_LSTM, V, config={**awd_lstm_lm_config, **SIZES, **DROPS}).to(dtype).train()
    leaves = leaves_of(model[0])
    leaves["decoder.bias"] = model[1].decoder.bias
    with torch.no_grad():
        model[1].decoder.bias.copy_(closed_form(len(leaves) - 1, (V,), 0.3))
    model.reset()
    model[0].bs = B
    model[0].hidden = [(closed_form(100 + layer, (1, B, WIDTHS_OUT[layer]), 0.5).to(dtype), closed_form(200 + layer, (1, B, WIDTHS_OUT[layer]), 0.8).to(dtype))
                       for layer in range(LAYERS)]
    x = torch.tensor([[token(t * B + b) for t in range(T)] for b in range(B)])
    y = torch.tensor([[token(t * B + b + 5) for t in range(T)] for b in range(B)])
    masks, dropout = Masks(STREAMS, output=True).over(model[0])
    with masks, dropout:
        logits, raw, out = model(x)
    return result(F.cross_entropy(logits.reshape(-1, V), y.reshape(-1)), raw, out, leaves)


def classifier(lengths, dropped, dtype):
    drops = DROPS if dropped else dict.fromkeys(DROPS, 0)
    ps = HEAD_DROPS if dropped else [0.0, 0.0]
    model = get_text_classifier(AWD_LSTM, V, HEAD[-1], seq_len=WINDOW, config={**awd_lstm_clas_config, **SIZES, **drops, "output_p": ps[0]},
                                lin_ftrs=[HEAD[1]], ps=[ps[1]], max_len=WINDOW * KEPT).to(dtype).train()
    leaves = leaves_of(model[0].module)
    with torch.no_grad():
        for k, block in enumerate(model[1].layers):
            norm = next(m for m in block if isinstance(m, torch.nn.BatchNorm1d))
            linear = next(m for m in block if isinstance(m, torch.nn.Linear))
            norm.weight.copy_(1 + closed_form(300 + k, (HEAD[k],), 0.25))
            norm.bias.copy_(closed_form(310 + k, (HEAD[k],), 0.5))
            linear.weight.copy_(closed_form(320 + k, (HEAD[k + 1], HEAD[k]), 0.6))
            for ours, parameter in (("bn.weight", norm.weight), ("bn.bias", norm.bias), ("linear.weight", linear.weight)):
                leaves[f"head.{k}.{ours}"] = parameter
    model.reset()
    texts = [(TensorText(torch.tensor([token(i + 13 * d) for i in range(n)])), torch.tensor(0)) for d, n in enumerate(lengths)]
    x = torch.stack([t for t, _ in pad_input_chunk(texts, pad_idx=PADDING, pad_first=True, seq_len=WINDOW)])
    masks, dropout = Masks(list(range(len(lengths))), -(-max(lengths) // WINDOW)).over(model[0].module)
    with masks, dropout:
        prediction, raw, out = model(x.as_subclass(torch.Tensor))
    return result(F.cross_entropy(prediction, torch.tensor(LABELS)), raw, out, leaves)


def distance(found, expected):
    return ((found.double() - expected).abs().max() / expected.abs().max()).item()


EQUAL = {f"{n}_dropped" if dropped else str(n): (n, dropped) for n in (4, 8, 12) for dropped in (False, True)}
CASES = {"lm": language_model, "mixed": lambda dtype: classifier([3, 8, 5, 7, 1, 6], False, dtype)}
CASES.update({name: lambda dtype, n=n, dropped=dropped: classifier([n] * len(LABELS), dropped, dtype) for name, (n, dropped) in EQUAL.items()})
KERNELS = [{"ATEN_CPU_CAPABILITY": a, "ONEDNN_MAX_CPU_ISA": b} for a, b in (("default", "SSE41"), ("avx2", "AVX2"), ("avx512", "AVX512_CORE"))]


def all_cases():
    cases = {}
    for name, compute in CASES.items():
        exact = compute(torch.float64)
        cross_entropy, ar, tar = exact["losses"].tolist()
        cases[name] = {"cross_entropy": cross_entropy, "ar": ar, "tar": tar, "gradients": {leaf: flat(g) for leaf, g in exact["gradients"].items()}}
    return cases


def float32_distances():
    """[of the losses, of the gradients] by case, with the kernels of this process."""
    found = {}
    for name in ["lm", *EQUAL]:
        exact, rounded = CASES[name](torch.float64), CASES[name](torch.float32)
        found[name] = [distance(rounded["losses"], exact["losses"]), max(distance(rounded["gradients"][leaf], g) for leaf, g in exact["gradients"].items())]
    return found


def largest_distances():
    runs = [json.loads(subprocess.run([sys.executable, __file__, "--float32"], env={**os.environ, **kernels}, stdout=subprocess.PIPE, check=True).stdout)
            for kernels in KERNELS]
    of = lambda names: {key: max(run[name][i] for run in runs for name in names) for i, key in enumerate(("losses", "gradients"))}
    return {"lm": of(["lm"]), "classifier": of(EQUAL)}


def exact_tensor(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def check():
    stored = json.loads((Path(__file__).parent / "fastai_training.json").read_text())
    now = all_cases()
    largest = max(distance(exact_tensor(now[c]["gradients"][g]), exact_tensor(stored[c]["gradients"][g])) for c in now for g in now[c]["gradients"])
    largest = max(largest, *(abs(now[c][k] - stored[c][k]) for c in now for k in ("cross_entropy", "ar", "tar")))
    with mock.patch.object(awd_lstm, "token", token), mock.patch.object(awd_lstm, "flat", lambda x: x.detach().reshape(-1).tolist()):
        reference = awd_lstm.language_model(True)
    exact = language_model(torch.float64)
    from_reference = max([distance(exact["losses"], exact_tensor([reference[k] for k in ("cross_entropy", "ar", "tar")]))] +
                         [distance(g.reshape(-1), exact_tensor(reference["gradients"][n])) for n, g in exact["gradients"].items()])
    print(json.dumps({"from_stored": largest, "from_reference": from_reference}))


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    found = float32_distances() if sys.argv[1:] == ["--float32"] else {**all_cases(), "float32": largest_distances()}
    json.dump(found, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
