#!/usr/bin/env python3
"""Writes fastai_settings.json: what fastai does unless told otherwise.

batches: of LMDataLoader, {"lengths": of documents of the ids 0, 1, 2 ..., "bs", "seq_len", "batches": [[x rows, y rows] ...]},
unshuffled.
defaults: of the learners and their optimizer, under ulmfit's names of options; for configs/fastai-*.cfg.
vocabularies: of make_vocab, {"counts": {word: count}, "min_freq", "max_vocab", "words"}; the counter is filled in byte order, so that ties, which
fastai leaves in order of insertion, are in byte order too.

    fastai_settings.py > fastai_settings.json     (fastai 2.7 or newer)
"""
import inspect
import json
import random
import sys
from collections import Counter

import torch
from fastai.text.all import (Adam, Learner, LMDataLoader, TextLearner, awd_lstm_clas_config, awd_lstm_lm_config,
                             get_text_classifier, language_model_learner, make_vocab, text_classifier_learner)


def batches(lengths, bs, seq_len):
    documents, at = [], 0
    for n in lengths:
        documents.append(list(range(at, at + n)))
        at += n
    loader = LMDataLoader([(torch.tensor(d),) for d in documents], lens=lengths, bs=bs, seq_len=seq_len, num_workers=0)
    return {"lengths": lengths, "bs": bs, "seq_len": seq_len, "batches": [[x.tolist(), y.tolist()] for x, y in loader]}


def vocabulary(counts, min_freq, max_vocab):
    counter = Counter()
    for word in sorted(counts, key=lambda w: w.encode()):
        counter[word] = counts[word]
    # fastai always pads, also by 8 where the length is a multiple of 8 already; ulmfit then does not.
    words = make_vocab(counter, min_freq=min_freq, max_vocab=max_vocab)
    return {"counts": counts, "min_freq": min_freq, "max_vocab": max_vocab, "words": words}


def default(function, name):
    return inspect.signature(function).parameters[name].default


def defaults():
    """By ulmfit's names; those that both kinds of learner share, and those of each."""
    cycle, adam = Learner.fit_one_cycle, Adam
    momentum = default(cycle, "moms") or default(TextLearner.__init__, "moms")  # of both kinds of learner; Learner's own are others
    shared = {"schedule.kind": "one-cycle", "schedule.pct-start": default(cycle, "pct_start"), "schedule.div": default(cycle, "div"),
              "schedule.div-final": default(cycle, "div_final"), "schedule.momentum-high": momentum[0], "schedule.momentum-low": momentum[1],
              "optim.kind": "adam", "optim.beta2": default(adam, "sqr_mom"), "optim.eps": default(adam, "eps"), "optim.weight-decay": default(adam, "wd"),
              "optim.lr": default(Learner.__init__, "lr"), "optim.clip": 0, "optim.factor": 1, "optim.unfreeze": "full",
              "optim.ar": 2, "optim.tar": 1}  # LMLearner and TextLearner: alpha=2., beta=1.
    assert momentum[0] == momentum[2] and default(adam, "decouple_wd")
    of = lambda config: {"model.embedding": config["emb_sz"], "model.hidden": config["n_hid"], "model.layers": config["n_layers"],
                         "dropout.output": config["output_p"], "dropout.hidden": config["hidden_p"], "dropout.input": config["input_p"],
                         "dropout.embedding": config["embed_p"], "dropout.weight": config["weight_p"]}
    lm = {**shared, **of(awd_lstm_lm_config), "train.streams": default(LMDataLoader.__init__, "bs"), "train.bptt": default(LMDataLoader.__init__, "seq_len"),
          "train.variable-bptt": "false", "drop-mult": default(language_model_learner, "drop_mult")}
    window = default(text_classifier_learner, "seq_len")
    classifier = {**shared, **of(awd_lstm_clas_config), "train.batch-size": 64, "drop-mult": default(text_classifier_learner, "drop_mult"),
                  "bpt3c.window": window, "bpt3c.length": default(text_classifier_learner, "max_len"), "bpt3c.detach": "window", "bpt3c.masks": "window",
                  "bpt3c.pool": "length", "head.hidden": 50, "head.dropout": 0.1}  # get_text_classifier: lin_ftrs = [50], ps = [0.1]
    assert default(get_text_classifier, "lin_ftrs") is None and default(get_text_classifier, "ps") is None
    return {"lm": lm, "classifier": classifier}


def main():
    draw = random.Random(2018)
    cases = [batches([5], 1, 3), batches([20, 1, 7, 13], 2, 6), batches([20, 1, 7, 13], 4, 5), batches([100], 3, 11), batches([9] * 11, 7, 70),
             batches([draw.randint(1, 30) for _ in range(40)], 8, 9), batches([draw.randint(1, 30) for _ in range(40)], 5, 72), batches([13, 12], 4, 6)]
    words = ["the", "film", "was", "good", "bad", "é", "ü", "zz", "Z", "a", "xxmaj", "xxbos", "xxrep", "1", "!", "映画", "x-y", "and", "or"]
    vocabularies = [vocabulary({w: draw.choice((1, 2, 3, 3, 5, 8)) for w in words}, min_freq, max_vocab)
                    for min_freq, max_vocab in ((1, 60000), (2, 60000), (3, 60000), (3, 14), (1, 17), (1, 12), (1, 16))]
    json.dump({"batches": cases, "defaults": defaults(), "vocabularies": vocabularies}, sys.stdout, separators=(",", ":"), ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
