"""fastai's side of compare_fastai: the same model, tokens and optimizer by fastai's own means. Prints one JSON line.

    fastai_peer.py lm          --threads N --seed S --vocab N --embedding E --hidden H --streams G --bptt T --warmup W --steps K
                               [--text FILE --vocab-file FILE]       without text: made-up tokens
                               [--fp16]                              on the GPU, in fastai's mixed precision
    fastai_peer.py classifier|predict  --threads N --seed S --embedding E --hidden H --vocab-file FILE --data FILE.csv

Needs fastai and torch; run by compare_fastai with the interpreter that its user names.
"""
import argparse
import csv
import json
import resource
import time
import warnings
from functools import partial

warnings.filterwarnings("ignore")

import fastai
import torch
from fastai.text.all import (AWD_LSTM, Adam, Callback, CancelFitException, CrossEntropyLossFlat, DataLoaders, GradientClip,
                             Learner, LMDataLoader, SortedDL, TextLearner, awd_lstm_clas_config, awd_lstm_clas_split,
                             awd_lstm_lm_config, awd_lstm_lm_split, get_language_model, get_text_classifier, pad_input_chunk,
                             rnn_cbs, set_seed)

ADAM = partial(Adam, mom=0.7, sqr_mom=0.99, eps=1e-5, wd=0.01)


def read_ids(vocab_file):
    words = open(vocab_file, encoding="utf8").read().split("\n")
    words = words[:-1] if words[-1] == "" else words
    ids = {word: i for i, word in enumerate(words)}
    unknown = ids["xxunk"]
    return words, lambda tokens: [ids.get(t, unknown) for t in tokens]


class Clock(Callback):
    """Seconds, items and losses of training batches; ends the fit after `limit` of them."""
    order = 100

    def __init__(self, limit=0):
        self.limit, self.rows = limit, []

    def before_batch(self):
        self.start = time.perf_counter()

    def after_batch(self):
        if not self.training:
            return
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self.rows.append((time.perf_counter() - self.start, self.xb[0].shape[0], self.xb[0].numel(), float(self.loss)))
        if self.limit and len(self.rows) >= self.limit:
            raise CancelFitException()


def lm(a):
    steps = a.warmup + a.steps
    if a.text:
        words, to_ids = read_ids(a.vocab_file)
        with open(a.text, encoding="utf8") as lines:
            documents = [torch.tensor(to_ids(["xxbos", *line.split()])) for line in lines]
        vocab = len(words)
    else:
        words, vocab = [f"w{i}" for i in range(a.vocab)], a.vocab
        documents = [torch.randint(0, vocab, (a.streams * a.bptt * (steps + 2),))]
    dl = LMDataLoader(documents, bs=a.streams, seq_len=a.bptt, num_workers=0, shuffle=True)
    dls = DataLoaders(dl, dl, device=torch.device("cuda" if a.fp16 else "cpu"))
    dls.vocab = words
    config = {**awd_lstm_lm_config, "emb_sz": a.embedding, "n_hid": a.hidden, "n_layers": 3}
    clock = Clock(steps)
    learn = Learner(dls, get_language_model(AWD_LSTM, vocab, config=config), loss_func=CrossEntropyLossFlat(), opt_func=ADAM,
                    splitter=awd_lstm_lm_split, cbs=rnn_cbs(alpha=2, beta=1) + [GradientClip(0.25), clock])
    if a.fp16:
        learn.to_fp16()
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 4e-3)
    counted = clock.rows[a.warmup:]
    gpu = {"gpu": torch.cuda.get_device_name(), "gpu_peak_memory_mb": torch.cuda.max_memory_allocated() / 1e6} if a.fp16 else {}
    return {**gpu, "tokens_per_s": sum(r[2] for r in counted) / sum(r[0] for r in counted),
            "loss": sum(r[3] for r in counted) / len(counted), "vocab": vocab}


def read_reviews(a):
    """Words of the vocabulary, and (ids, label) of each review."""
    words, to_ids = read_ids(a.vocab_file)
    csv.field_size_limit(10**9)
    with open(a.data, encoding="utf8") as file:
        return words, [(torch.tensor(to_ids(["xxbos", *row["text"].split()])), torch.tensor(int(row["label"])))
                       for row in csv.DictReader(file)]


def text_learner(a, words, items, **settings):
    pad = partial(pad_input_chunk, seq_len=70)
    # 64: fastai's default, for prediction.
    dls = DataLoaders(*[SortedDL(items, bs=bs, shuffle=s, drop_last=False, before_batch=pad, num_workers=0)
                        for bs, s in ((a.batch_size, True), (64, False))])
    dls.vocab = [words, [0, 1]]
    config = {**awd_lstm_clas_config, "emb_sz": a.embedding, "n_hid": a.hidden}
    model = get_text_classifier(AWD_LSTM, len(words), 2, seq_len=70, config=config, drop_mult=a.drop_mult, max_len=1400)
    return TextLearner(dls, model, loss_func=CrossEntropyLossFlat(), opt_func=ADAM, splitter=awd_lstm_clas_split, **settings)


def facts(items):
    return {"documents": len(items), "mean_tokens": sum(len(x) for x, _ in items) / len(items)}


def classifier(a):
    words, items = read_reviews(a)
    clock = Clock()
    learn = text_learner(a, words, items, cbs=[GradientClip(0.25), clock])
    with learn.no_bar(), learn.no_logging():
        clock.limit = 1  # warms up
        learn.fit(1, 4e-3)
        clock.limit, clock.rows = len(learn.dls[0]), []  # a whole epoch, without the validation after it
        learn.fit(1, 4e-3)
    counted = clock.rows
    return {"docs_per_s": sum(r[1] for r in counted) / sum(r[0] for r in counted),
            "loss": sum(r[3] for r in counted) / len(counted), **facts(items)}


def predict(a):
    words, items = read_reviews(a)
    learn = text_learner(a, words, items)
    with learn.no_bar(), learn.no_logging():
        learn.get_preds(dl=learn.dls[1])  # warms up
        start = time.perf_counter()
        learn.get_preds(dl=learn.dls[1])
        return {"docs_per_s": len(items) / (time.perf_counter() - start), **facts(items)}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["lm", "classifier", "predict"])
    for name, default in (("threads", 1), ("seed", 1), ("vocab", 33278), ("embedding", 400), ("hidden", 1152), ("streams", 64),
                          ("bptt", 70), ("warmup", 2), ("steps", 2), ("batch-size", 32)):
        p.add_argument("--" + name, type=int, default=default)
    for name in ("text", "vocab-file", "data"):
        p.add_argument("--" + name)
    p.add_argument("--drop-mult", type=float, default=0.5)
    p.add_argument("--fp16", action="store_true")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    set_seed(a.seed)
    result = {"lm": lm, "classifier": classifier, "predict": predict}[a.what](a)
    result.update(fastai=fastai.__version__, torch=torch.__version__,
                  peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
