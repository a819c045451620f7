#!/usr/bin/env python3
"""fastai and ulmfit on the same weights and the same real texts, live. Run by tests/end_to_end/fastai_live_test.py.

    FASTAI_PYTHON tests/reference/fastai_live.py ULMFIT DATA FOLDER

DATA is the folder of test data. Prints a JSON object: what was compared, and the largest difference;
differences of numbers are |a - b| / (1 + |b|).
"""
import csv
import json
import lzma
import pickle
import subprocess
import sys
import warnings
from collections import Counter
from functools import reduce
from pathlib import Path

import torch

warnings.filterwarnings("ignore")
from fastai.text.all import (AWD_LSTM, CrossEntropyLossFlat, DataLoader, DataLoaders, LMLearner, TextLearner, awd_lstm_clas_config,
                             awd_lstm_clas_split, awd_lstm_lm_config, awd_lstm_lm_split, defaults, get_language_model,
                             get_text_classifier)

from spacy_agreement import agreement, clean, fastai_tokens, sources, tokens_of

SIZES = {"emb_sz": 32, "n_hid": 48, "n_layers": 3}
LABELS = ["negative", "positive"]
SPECIALS = ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj"]
WINDOW = 72
torch.set_num_threads(1)


def difference(ours, theirs):
    ours, theirs = torch.as_tensor(ours), torch.as_tensor(theirs)
    return ((ours - theirs).abs() / (1 + theirs.abs())).max().item()


class Live:
    def __init__(self, binary, data, folder):
        self.binary, self.folder = binary, Path(folder)
        self.sources = sources(Path(data))
        with lzma.open(Path(data) / "zh/hotel_reviews_chnsenticorp.csv.xz", "rt", encoding="utf8", newline="") as file:
            self.sources["Chinese reviews"] = [row["review"] for row in csv.DictReader(file)]
        self.texts = [" ".join(text.split()) for text in self.sources["IMDb"]]
        self.tokens = [line.split(" ") for line in self.ulmfit("tokenize", stdin="\n".join(self.texts[:400]) + "\n").splitlines()]
        common = [w for w, _ in Counter(w for line in self.tokens for w in line).most_common(2000) if w not in SPECIALS]
        self.words = SPECIALS + common + ["xxfake"] * (-(len(SPECIALS) + len(common)) % 8)
        self.ids = {w: i for i, w in reversed(list(enumerate(self.words)))}

    def ulmfit(self, *arguments, stdin=""):
        return subprocess.run([self.binary, *map(str, arguments)], input=stdin, capture_output=True, text=True, encoding="utf8",
                              cwd=self.folder, check=True).stdout

    def numbers(self, tokens):
        return [self.ids.get(w, 0) if w != "xxfake" else 0 for w in tokens]

    def save(self, name, model, vocabulary):
        torch.save(model.state_dict(), self.folder / f"{name}.pth")
        (self.folder / f"{name}.pkl").write_bytes(pickle.dumps(vocabulary))
        self.ulmfit("import", f"--weights={name}.pth", f"--vocab={name}.pkl", f"--output={name}", "--accept-foreign-tokens")
        self.ulmfit("export", f"--model={name}", f"--output={name}-exported")

    def rules(self):
        """Texts that the rules turn into other words, of all; the words are those between blanks. Control characters are left
        out: ulmfit cleans texts of them first, fastai does not."""
        texts = [clean(text) for texts in self.sources.values() for text in texts]
        made = self.ulmfit("tokenize", "--tokenizer=whitespace", stdin="\n".join(texts) + "\n").splitlines()
        theirs = [reduce(lambda text, rule: rule(text), defaults.text_proc_rules, text).split() for text in texts]
        return {"texts": {name: len(texts) for name, texts in self.sources.items()}, "differ": sum(a.split() != b for a, b in zip(made, theirs)) + abs(len(made) - len(theirs))}

    def words_of_spacy(self):
        """Share of words that are cut and marked alike (spacy_agreement.py), of 400 reviews."""
        texts = [clean(text) for text in self.texts[:400]]
        return {rules: agreement(tokens_of(self.binary, rules, texts), fastai_tokens(texts, version)) for rules, version in (("fastai", "2"), ("fastai1", "1"))}

    def language_model(self):
        torch.manual_seed(1)
        model = get_language_model(AWD_LSTM, len(self.words), config={**awd_lstm_lm_config, **SIZES}).eval()
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(torch.randn_like(p) * 0.3)
        self.save("lm", model, self.words)
        (self.folder / "text").mkdir()
        (self.folder / "text/reviews.txt").write_text("\n".join(self.texts[:60]) + "\n", encoding="utf8")
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--vocab=lm", "--valid-share=0")
        said = json.loads(self.ulmfit("evaluate", "--model=lm", "--data=corpus", "--split=train", "--batch-size=1").splitlines()[-1])
        said = said[0] if isinstance(said, list) else said
        stream = torch.tensor([i for tokens in self.tokens[:60] for i in self.numbers(tokens)])
        assert len(stream) == said["tokens"] + 1, (len(stream), said)
        model.reset()
        nats = 0
        with torch.no_grad():
            for t in range(0, len(stream) - 1, 70):
                x, y = stream[t:t + 70], stream[t + 1:t + 71]
                logits = model(x[:len(y)].unsqueeze(0))[0]
                nats += torch.nn.functional.cross_entropy(logits[0].double(), y, reduction="sum").item()
        again = get_language_model(AWD_LSTM, len(self.words), config={**awd_lstm_lm_config, **SIZES})
        learn = LMLearner(DataLoaders(DataLoader([0]), DataLoader([0])), again, loss_func=CrossEntropyLossFlat(), splitter=awd_lstm_lm_split)
        learn.dls.vocab = self.words
        learn.load_pretrained(self.folder / "lm-exported/model.pth", self.folder / "lm-exported/vocab.pkl")
        # fastai gives every xxfake the row of one of them.
        real = [i for i, w in enumerate(self.words) if w != "xxfake"]
        rows = lambda tensor: tensor[real] if len(tensor) == len(self.words) else tensor
        same = all(rows(a).equal(rows(b)) for a, b in zip(again.state_dict().values(), model.state_dict().values()))
        same = same and list(torch.load(self.folder / "lm-exported/model.pth")) == list(model.state_dict())
        return {"tokens": said["tokens"], "loss": difference(said["loss"], nats / said["tokens"]), "comes_back": same}

    def classifier(self):
        torch.manual_seed(2)
        config = {**awd_lstm_clas_config, **SIZES}
        model = get_text_classifier(AWD_LSTM, len(self.words), len(LABELS), seq_len=WINDOW, config=config, max_len=20 * WINDOW).eval()
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(torch.randn_like(p) * 0.3)
        self.save("classifier", model, [self.words, LABELS])
        chosen = sorted(range(60), key=lambda i: -len(self.tokens[i]))
        lines = self.ulmfit("predict", "--model=classifier", stdin="\n".join(self.texts[i] for i in chosen) + "\n").splitlines()
        ours = [[json.loads(line)["probabilities"][label] for label in LABELS] for line in lines]
        # One by one: in a batch, fastai passes over the last windows of its shortest texts where others end before its last one
        # (SentenceEncoder counts the texts that go on, and takes as many of the first).
        theirs = []
        for i in chosen:
            model.reset()
            with torch.no_grad():
                theirs.append(torch.softmax(model(torch.tensor(self.numbers(self.tokens[i])).unsqueeze(0))[0], 1)[0])
        theirs = torch.stack(theirs)
        again = get_text_classifier(AWD_LSTM, len(self.words), len(LABELS), seq_len=WINDOW, config=config, max_len=20 * WINDOW)
        learn = TextLearner(DataLoaders(DataLoader([0]), DataLoader([0])), again, loss_func=CrossEntropyLossFlat(), splitter=awd_lstm_clas_split,
                            path=self.folder, model_dir="classifier-exported")
        learn.load("model", with_opt=False)
        same = all(a.equal(b) for a, b in zip(again.state_dict().values(), model.state_dict().values()))
        learn.save("again", with_opt=False)
        self.ulmfit("import", "--weights=classifier-exported/again.pth", "--vocab=classifier-exported/vocab.pkl", "--output=again", "--accept-foreign-tokens")
        stages = [(self.folder / name / "stage/model.safetensors").read_bytes() for name in ("classifier", "again")]
        same = same and stages[0] == stages[1]  # from here to fastai and back
        self.ulmfit("export", "--model=classifier", "--output=encoder-exported", "--encoder")
        learn.model_dir = "encoder-exported"
        learn.load_encoder("model")
        return {"documents": len(ours), "longest": len(self.tokens[chosen[0]]), "probabilities": difference(ours, theirs), "comes_back": same}


def main():
    live = Live(*sys.argv[1:4])
    print(json.dumps({"rules": live.rules(), "words": live.words_of_spacy(), "language_model": live.language_model(), "classifier": live.classifier()}))


if __name__ == "__main__":
    main()
