#!/usr/bin/env python3
"""Writes tests/fixtures/fastai: small models as fastai saves them, and numbers.json, what fastai computes with them.

    python3 tests/reference/fastai_bridge.py tests/fixtures/fastai

lm.pth             a language model, learn.save(with_opt=False): zip form
lm_with_opt.pth    the same weights with an optimizer's state
lm_stream.pth      the same in the form of torch before 1.6
encoder.pth        its encoder, learn.save_encoder
lm_v1.pth          the same weights as fastai v1 stored them: with the masked copy of the recurrent weights, here set to 7
classifier.pth     a text classifier, and classifier_v1.pth its weights with v1's head: one row of modules, linear layers with bias
vocab.pkl, vocab.json, vocab.txt    the words; vocab_classifier.pkl: words and classes; vocab_dls.pkl: both as dls.vocab has them
qrnn.pth           the names of a QRNN's weights
token_losses.json  of a text, window after window with the state carried on: the loss of each token by lm.pth
numbers.json       logits and top layer of lm.pth over two streams; probabilities of both classifiers for documents of one to
                   three windows, in evaluation mode

Run with fastai 2.7 or newer (torch 2).
"""
import json
import pickle
import sys
import warnings
from pathlib import Path

import torch

warnings.filterwarnings("ignore")
from fastai.text.all import (AWD_LSTM, CategoryMap, L, TensorText, awd_lstm_clas_config, awd_lstm_lm_config, get_language_model, get_text_classifier,
                             pad_input_chunk)

WORDS = ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj", "the", "a", "film", "was", "good", "bad", "not",
         "very", "house", "über", "映画", ".", ",", "xxfake", "xxfake"]
LABELS = ["negative", "positive", "mixed"]
SIZES = {"emb_sz": 8, "n_hid": 12, "n_layers": 3}
WINDOW, PADDING = 72, 1
LENGTHS = [216, 150, 100, 72, 40, 3]  # longest first, as fastai wants them


def language_model():
    torch.manual_seed(1)
    model = get_language_model(AWD_LSTM, len(WORDS), config={**awd_lstm_lm_config, **SIZES}).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * 0.3)
    return model


def classifier():
    torch.manual_seed(2)
    model = get_text_classifier(AWD_LSTM, len(WORDS), len(LABELS), seq_len=WINDOW, config={**awd_lstm_clas_config, **SIZES},
                                max_len=20 * WINDOW).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * 0.3)
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return model


def head_of_v1(head):
    """The same blocks as one row, with biases that are not zero."""
    row = torch.nn.Sequential(*[module for block in head.layers for module in (list(block) + ([torch.nn.ReLU()] if len(block) == 3 else []))])
    with torch.no_grad():
        for i, module in enumerate(row):
            if isinstance(module, torch.nn.Linear):
                biased = torch.nn.Linear(module.in_features, module.out_features)
                biased.weight.copy_(module.weight)
                biased.bias.copy_(torch.linspace(-0.5, 0.5, module.out_features))
                row[i] = biased
    return row.eval()


def documents():
    return [[2] + [9 + (7 * i + 3 * d) % 13 for i in range(n - 1)] for d, n in enumerate(LENGTHS)]


def features(model):
    """What the head of fastai's classifier gets, by document."""
    texts = [(TensorText(torch.tensor(d)), torch.tensor(0)) for d in documents()]
    x = torch.stack([t for t, _ in pad_input_chunk(texts, pad_idx=PADDING, pad_first=True, seq_len=WINDOW)]).as_subclass(torch.Tensor)
    caught = []
    hook = model[1].layers[0].register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    model.reset()
    with torch.no_grad():
        logits = model(x)[0]
    hook.remove()
    return caught[0], logits


def token_losses(lm):
    """fastai's model over one stream in windows of 7, each token's cross-entropy."""
    text = ("xxbos xxmaj the film was not very good , not bad . xxbos a very good house . xxmaj the house was bad , very bad . xxbos über "
            "映画 xxunk was a good film , not a xxup bad film . xxbos xxmaj not good .").split()
    ids = [WORDS.index(word) for word in text]
    losses = []
    lm.reset()
    with torch.no_grad():
        for t in range(0, len(ids) - 1, 7):
            x, y = ids[t:t + 7], ids[t + 1:t + 8]
            logits = lm(torch.tensor([x[:len(y)]]))[0][0]
            losses += torch.nn.functional.cross_entropy(logits, torch.tensor(y), reduction="none").tolist()
    return {"ids": ids, "losses": losses}


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    lm = language_model()
    weights = lm.state_dict()
    torch.save(weights, folder / "lm.pth")
    optimizer = {"state": [{"grad_avg": torch.ones(3), "step": 4}], "hypers": [{"lr": 0.1, "mom": 0.9, "wd": 0.01, "eps": 1e-5}]}
    torch.save({"model": weights, "opt": optimizer}, folder / "lm_with_opt.pth")
    torch.save(weights, folder / "lm_stream.pth", _use_new_zipfile_serialization=False)
    torch.save(lm[0].state_dict(), folder / "encoder.pth")
    masked = dict(weights)
    for layer in range(SIZES["n_layers"]):
        masked[f"0.rnns.{layer}.module.weight_hh_l0"] = torch.full_like(weights[f"0.rnns.{layer}.weight_hh_l0_raw"], 7)
    torch.save(masked, folder / "lm_v1.pth", _use_new_zipfile_serialization=False)
    torch.save({"0.encoder.weight": weights["0.encoder.weight"], "0.encoder_dp.emb.weight": weights["0.encoder.weight"],
                "0.rnns.0.layers.0.linear.weight_raw": torch.zeros(36, 16), "0.rnns.0.layers.0.linear.module.weight": torch.zeros(36, 16)},
               folder / "qrnn.pth")
    model = classifier()
    torch.save(model.state_dict(), folder / "classifier.pth")
    v1_head = head_of_v1(model[1])
    v1 = {k: v for k, v in model.state_dict().items() if k.startswith("0.")}
    v1.update({f"1.layers.{k}": v for k, v in v1_head.state_dict().items()})
    torch.save(v1, folder / "classifier_v1.pth", _use_new_zipfile_serialization=False)
    (folder / "vocab.pkl").write_bytes(pickle.dumps(WORDS))
    (folder / "vocab.json").write_text(json.dumps(WORDS))
    (folder / "vocab.txt").write_text("".join(w + "\n" for w in WORDS))
    (folder / "vocab_classifier.pkl").write_bytes(pickle.dumps([WORDS, LABELS], protocol=2))

    (folder / "vocab_dls.pkl").write_bytes(pickle.dumps(L(WORDS, CategoryMap(LABELS, sort=False))))

    ids = torch.tensor([[2, 9, 11, 12, 16, 13, 20, 8, 9, 17], [2, 10, 14, 11, 15, 19, 18, 21, 0, 20]])
    lm.reset()
    with torch.no_grad():
        logits, _, top = lm(ids)
        pooled, v2_logits = features(model)
        v1_logits = v1_head(pooled)
    numbers = {"ids": ids.tolist(), "logits": logits.tolist(), "top": top.tolist(), "documents": documents(),
               "classifier": torch.softmax(v2_logits, 1).tolist(), "classifier_v1": torch.softmax(v1_logits, 1).tolist()}
    (folder / "token_losses.json").write_text(json.dumps(token_losses(lm)) + "\n")
    (folder / "numbers.json").write_text(json.dumps(numbers, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
