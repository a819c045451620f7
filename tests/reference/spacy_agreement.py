#!/usr/bin/env python3
"""How far the words of `ulmfit tokenize` are those that fastai's text rules and spaCy make of the same real texts.

    FASTAI_PYTHON tests/reference/spacy_agreement.py ULMFIT DATA > tests/bench/results/spacy-agreement.json

DATA is the folder of test data. A word agrees if it has the same first and last character and the same mark of capitals
(xxmaj, xxup) in front in both; the figure is twice the words that agree over the words of both, as a share. spaCy's tokens of white space alone count as none ("blank" tells their
share of its tokens). Control characters are left out of the texts: ulmfit cleans texts of them first, fastai does not. v1's
rules are taken out of fastai 1.0.61 and run over spaCy as v1 does.
"""
import csv
import json
import lzma
import subprocess
import sys
import tempfile
from functools import reduce
from importlib.metadata import version
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "bench")]
from machine import machine

MARKS = ("xxmaj", "xxup")


def clean(text):
    return " ".join("".join(c for c in text if c >= " " and not "\x7f" <= c <= "\x9f").split())


def spans(tokens):
    """(mark, first, end) of each word in the text without white space and marks."""
    mark, at, found = None, 0, []
    for token in tokens:
        if token in MARKS:
            mark = token
        elif length := len("".join(token.split())):
            found.append((mark, at, at + length))
            mark, at = None, at + length
    return found


def agreement(ours, theirs):
    """Of two lists of documents, each a list of tokens."""
    both = common = 0
    for a, b in zip(ours, theirs, strict=True):
        assert len("".join(t for t in a if t not in MARKS)) == len("".join("".join(t for t in b if t not in MARKS).split())), (a, b)
        a, b = set(spans(a)), set(spans(b))
        both += len(a) + len(b)
        common += 2 * len(a & b)
    return common / both


def tokens_of(binary, rules, texts):
    done = subprocess.run([binary, "tokenize", f"--rules={rules}"], input="\n".join(texts) + "\n", capture_output=True, text=True,
                          encoding="utf8", check=True)
    return [line.split(" ")[1:] for line in done.stdout.splitlines()]  # without xxbos


def fastai_tokens(texts, version_of_rules="2"):
    from fastai.text.all import SpacyTokenizer, defaults
    if version_of_rules == "1":
        from text_rules import fastai_rules
        with tempfile.TemporaryDirectory() as folder:
            rules, token_rules = fastai_rules(folder, "1")
        rules = [rule for _, rule in rules]
    else:
        rules, token_rules = [r for r in defaults.text_proc_rules if r.__name__ != "lowercase"], []
        rules.append(lambda text: text.lower().strip())
    split = SpacyTokenizer("en")([reduce(lambda text, rule: rule(text), rules, text) for text in texts])
    return [reduce(lambda tokens, rule: rule(tokens), token_rules, list(tokens)) for tokens in split]


def sources(data):
    with lzma.open(data / "imdb/train.csv.xz", "rt", encoding="utf8", newline="") as file:
        imdb = [row["text"] for row in csv.DictReader(file)]
    with lzma.open(data / "ag_news/train_10k.csv.xz", "rt", encoding="utf8", newline="") as file:
        news = [f"{title} {text}" for _, title, text in csv.reader(file)]
    with lzma.open(data / "wikitext-2/train.txt.xz", "rt", encoding="utf8") as file:
        wiki = [line.replace(" @,@ ", ",") for line in file if len(line.split()) > 20]
    return {"IMDb": imdb[:2000], "AG News": news[:5000], "WikiText-2": wiki[:5000]}


def main():
    binary, data = sys.argv[1], Path(sys.argv[2])
    result = {"machine": machine(), "fastai": version("fastai"), "spacy": version("spacy"), "rules": {}}
    for rules, number in (("fastai", "2"), ("fastai1", "1")):
        for name, texts in sources(data).items():
            texts = [clean(text) for text in texts]
            theirs = fastai_tokens(texts, number)
            ours = tokens_of(binary, rules, texts)
            blank = sum(not t.strip() for tokens in theirs for t in tokens) / sum(map(len, theirs))
            result["rules"].setdefault(rules, {})[name] = {"texts": len(texts), "words": sum(len(spans(t)) for t in theirs), "agreement": round(agreement(ours, theirs), 5), "blank": round(blank, 5)}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
