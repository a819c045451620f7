#!/usr/bin/env python3
"""Writes classifier_penalties.json: what fastai's text classifier adds to its loss by AR and TAR, and the gradients.

fastai itself computes it (get_text_classifier and RNNRegularizer with its defaults, alpha 2 and beta 1), in float64, on six
documents of equal length: then fastai's means, which count padding, and ours, which do not, are over the same elements. Windows
of 4 tokens, gradients over the last two; documents of one, two and three windows. Weights are those of awd_lstm.py, without
dropout. "mixed": six documents of several lengths in two windows, padded in front by whole windows as fastai's loader does; what
fastai adds then, for the difference that its padding makes.

Run (fastai 2.7 or newer, and numpy):
    python3 tests/reference/classifier_penalties.py > tests/reference/classifier_penalties.json
"""
import json
import sys
from types import SimpleNamespace

import torch
from fastai.text.all import AWD_LSTM, RNNRegularizer, TensorText, awd_lstm_clas_config, get_text_classifier, pad_input_chunk
from torch.nn import functional as F

from awd_lstm import E, H, LAYERS, V, closed_form, flat, token

WINDOW, KEPT = 4, 2
HEAD = [3 * E, 5, 3]
LABELS = [2, 0, 1, 2, 1, 0]
PADDING = 1  # fastai's: no document may hold it


def documents(lengths):
    tokens = [[token(i + 13 * d) for i in range(n)] for d, n in enumerate(lengths)]
    return [[2 if t == PADDING else t for t in document] for document in tokens]


def classifier():
    config = awd_lstm_clas_config.copy()
    config.update(emb_sz=E, n_hid=H, n_layers=LAYERS, output_p=0, hidden_p=0, input_p=0, embed_p=0, weight_p=0)
    model = get_text_classifier(AWD_LSTM, V, HEAD[-1], seq_len=WINDOW, config=config, lin_ftrs=[HEAD[1]], ps=[0.0],
                                max_len=WINDOW * KEPT).double()
    encoder = model[0].module
    leaves, number = {"embedding.weight": encoder.encoder.weight}, 1
    assert encoder.encoder_dp.emb is encoder.encoder
    for layer, rnn in enumerate(encoder.rnns):
        for ours, theirs in (("weight_ih", rnn.module.weight_ih_l0), ("weight_hh", rnn.weight_hh_l0_raw),
                             ("bias_ih", rnn.module.bias_ih_l0), ("bias_hh", rnn.module.bias_hh_l0)):
            leaves[f"rnn.{layer}.{ours}"] = theirs
    with torch.no_grad():
        for number, (name, leaf) in enumerate(leaves.items()):
            leaf.copy_(closed_form(number, tuple(leaf.shape), 1.5 if name == "embedding.weight" else 1.2))
        for k, block in enumerate(model[1].layers):
            norm = next(m for m in block if isinstance(m, torch.nn.BatchNorm1d))
            linear = next(m for m in block if isinstance(m, torch.nn.Linear))
            norm.weight.copy_(1 + closed_form(300 + k, (HEAD[k],), 0.25))
            norm.bias.copy_(closed_form(310 + k, (HEAD[k],), 0.5))
            linear.weight.copy_(closed_form(320 + k, (HEAD[k + 1], HEAD[k]), 0.6))
    return model.train(), leaves


def penalties(lengths):
    model, leaves = classifier()
    model.reset()
    texts = [(TensorText(torch.tensor(d)), torch.tensor(0)) for d in documents(lengths)]
    x = torch.stack([t for t, _ in pad_input_chunk(texts, pad_idx=PADDING, pad_first=True, seq_len=WINDOW)])
    prediction, raw, out = model(x.as_subclass(torch.Tensor))
    loss = F.cross_entropy(prediction, torch.tensor(LABELS))
    added = {}
    for name, alpha, beta in (("ar", 2.0, 0.0), ("tar", 0.0, 1.0), ("both", 2.0, 1.0)):
        regularizer = RNNRegularizer(alpha=alpha, beta=beta)
        regularizer.learn = SimpleNamespace(training=True, loss_grad=torch.zeros((), dtype=torch.float64),
                                            rnn=SimpleNamespace(raw_out=raw, out=out))
        regularizer.after_loss()
        added[name] = regularizer.learn.loss_grad
    (loss + added["both"]).backward()
    return {"cross_entropy": loss.item(), "ar": added["ar"].item(), "tar": added["tar"].item(),
            "gradients": {name: flat(leaf.grad) for name, leaf in leaves.items()}}


def main():
    cases = {str(n): penalties([n] * len(LABELS)) for n in (4, 8, 12)}
    cases["mixed"] = penalties([3, 8, 5, 7, 1, 6])
    json.dump(cases, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
