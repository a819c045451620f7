#!/usr/bin/env python3
"""Writes fastai_token_losses.json: the loss of each token of a real text by fastai's language model in evaluation mode, float32.

The text is the first 3,000 words of WikiText-2's validation part; the vocabulary is all of its words, the common ones first, ties in byte
order. Element i of tensor number n is scale * (2 ((i^2 + 7919 n) mod 10007) / 10007 - 1), rounded to float32: a model without a file.
The text is one stream in windows of 70, the state carried on.

    fastai_token_losses.py wikitext-2/valid.txt.xz > fastai_token_losses.json     (fastai 2.7 or newer)
"""
import json
import lzma
import sys
from collections import Counter

import torch
from fastai.text.all import AWD_LSTM, awd_lstm_lm_config, get_language_model

WORDS, WINDOW, E, H, LAYERS = 3000, 70, 32, 48, 3
EMBEDDING_SCALE, SCALE = 2.0, 0.25


def fill(parameter, number, scale):
    i = torch.arange(parameter.numel())
    values = scale * (2 * ((i * i + 7919 * number) % 10007).double() / 10007 - 1)
    with torch.no_grad():
        parameter.copy_(values.float().reshape(parameter.shape))


def main():
    words = lzma.open(sys.argv[1]).read().split()[:WORDS]
    order = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
    rank = {word: i for i, (word, _) in enumerate(order)}
    ids = [rank[word] for word in words]
    model = get_language_model(AWD_LSTM, len(rank), config={**awd_lstm_lm_config, "emb_sz": E, "n_hid": H, "n_layers": LAYERS}).eval()
    encoder = model[0]
    fill(encoder.encoder.weight, 0, EMBEDDING_SCALE)
    number = 1
    for rnn in encoder.rnns:
        for parameter in (rnn.module.weight_ih_l0, rnn.weight_hh_l0_raw, rnn.module.bias_ih_l0, rnn.module.bias_hh_l0):
            fill(parameter, number, SCALE)
            number += 1
    fill(model[1].decoder.bias, number, SCALE)
    losses = []
    model.reset()
    with torch.no_grad():
        for first in range(0, len(ids) - 1, WINDOW):
            x, y = ids[first:first + WINDOW], ids[first + 1:first + WINDOW + 1]
            logits = model(torch.tensor([x[:len(y)]]))[0][0]
            losses += torch.nn.functional.cross_entropy(logits, torch.tensor(y), reduction="none").tolist()
    print(json.dumps({"vocabulary": len(rank), "losses": [float(f"{loss:.8g}") for loss in losses]}, separators=(",", ":")))


if __name__ == "__main__":
    main()
