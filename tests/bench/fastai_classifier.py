"""fastai's side of classifier_against_fastai: one classifier on the shards of prepare-labelled. Prints one JSON line.

    fastai_classifier.py --data FOLDER/labelled --encoder EXPORTED.pth|none --start NAME --seed S --epochs E --lr LR --threads N [--change weight-masks]

--change weight-masks: the recurrent weights' masks are drawn once a batch, not once a window.
Needs fastai, torch and h5py; run with the interpreter that the user of classifier_against_fastai names.
"""
import argparse
import json
import time
import warnings
from functools import partial
from pathlib import Path

warnings.filterwarnings("ignore")

import h5py
import torch
from fastai.text.all import (AWD_LSTM, CrossEntropyLossFlat, DataLoaders, SortedDL, TextLearner, accuracy, awd_lstm_clas_config, awd_lstm_clas_split,
                             get_text_classifier, pad_input_chunk, set_seed)
from fastai.text.models.awdlstm import WeightDropout


def split(folder, name):
    """[(ids, label)]: the tokens themselves that ulmfit trains on."""
    items = []
    for path in sorted(folder.glob(f"{name}-*.h5")):
        with h5py.File(path) as shard:
            tokens = torch.from_numpy(shard["tokens"][:].astype("int64"))
            bounds = [*shard["document_starts"][:].tolist(), len(tokens)]
            items += [(tokens[a:b], torch.tensor(int(label))) for a, b, label in zip(bounds, bounds[1:], shard["labels"][:])]
    return items


def draw_weight_masks_once_a_batch():
    """SentenceEncoder resets all layers where a batch begins, and then calls them window by window."""
    forward, reset = WeightDropout.forward, WeightDropout.reset

    def reset_and_mark(self):
        reset(self)
        self.drawn = False

    def forward_as_drawn(self, *args):
        if getattr(self, "drawn", False):
            return self.module(*args)
        self.drawn = True
        return forward(self, *args)
    WeightDropout.forward, WeightDropout.reset = forward_as_drawn, reset_and_mark


CHANGES = {"nothing": lambda: None, "weight-masks": draw_weight_masks_once_a_batch}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", type=Path)
    p.add_argument("--encoder")
    p.add_argument("--start")
    p.add_argument("--seed", type=int)
    p.add_argument("--epochs", type=int)
    p.add_argument("--lr", type=float)
    p.add_argument("--threads", type=int)
    p.add_argument("--change", choices=CHANGES, default="nothing")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    set_seed(a.seed)
    CHANGES[a.change]()
    words = (a.data / "vocab.txt").read_text(encoding="utf8").split("\n")[:-1]
    labels = (a.data / "labels.txt").read_text(encoding="utf8").split("\n")[:-1]
    sets = {name: split(a.data, name) for name in ("train", "valid", "test")}
    dls = DataLoaders(*[SortedDL(items, bs=32, shuffle=name == "train", before_batch=partial(pad_input_chunk, pad_first=True, seq_len=72), num_workers=0)
                        for name, items in sets.items()])
    dls.vocab = [words, labels]
    config = {**awd_lstm_clas_config, "emb_sz": 200, "n_hid": 300, "n_layers": 3}
    model = get_text_classifier(AWD_LSTM, len(words), len(labels), config=config, drop_mult=0.5)
    if a.encoder != "none":
        model[0].module.load_state_dict(torch.load(a.encoder))
    learn = TextLearner(dls, model, loss_func=CrossEntropyLossFlat(), splitter=awd_lstm_clas_split, metrics=[accuracy], moms=(0.8, 0.7, 0.8))
    with learn.no_bar(), learn.no_logging():
        start = time.perf_counter()
        if a.start == "gradual":
            rates = lambda lr: slice(lr / 2.6**4, lr)
            learn.freeze()
            learn.fit_one_cycle(1, 4 * a.lr)
            learn.freeze_to(-2)
            learn.fit_one_cycle(1, rates(2 * a.lr))
            learn.freeze_to(-3)
            learn.fit_one_cycle(1, rates(a.lr))
            learn.unfreeze()
            learn.fit_one_cycle(a.epochs - 3, rates(0.4 * a.lr))
        else:
            learn.unfreeze()
            learn.fit_one_cycle(a.epochs, a.lr)
        seconds = time.perf_counter() - start
        predictions, targets = learn.get_preds(dl=dls[2], reorder=False)
    wrong = (predictions.argmax(1) != targets).tolist()
    # In the order of the split: SortedDL gave the longest first, as dls[2].get_idxs() tells.
    by_text = [0] * len(wrong)
    for place, is_wrong in zip(dls[2].get_idxs(), wrong):
        by_text[place] = int(is_wrong)
    print(json.dumps({"wrong": "".join(map(str, by_text)), "docs_per_s": round(a.epochs * len(sets["train"]) / seconds, 1)}))


if __name__ == "__main__":
    main()
