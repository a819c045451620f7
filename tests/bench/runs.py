"""What the studies of classifiers share: they read the public data sets, call ulmfit, keep every result, and go on where they were."""
import csv
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

from machine import commit, file_name, machine

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ULMFIT_BINARY", str(ROOT / "build/ulmfit"))


def rows_in(path):
    """The rows of a table of ULMFIT_TEST_DATA."""
    with lzma.open(Path(os.environ["ULMFIT_TEST_DATA"]) / path, "rt", encoding="utf8", newline="") as file:
        return list(csv.reader(file))


def ag_news(part):
    """(text, label) of each row; part: train_10k, test."""
    return [(f"{title} {text}", label) for label, title, text in rows_in(f"ag_news/{part}.csv.xz")]


def imdb(part):
    """(text, label) of each row; part: train, test."""
    return [(text, label) for _, label, text in rows_in(f"imdb/{part}.csv.xz")[1:]]


def write_table(rows, file):
    with open(file, "w", encoding="utf8", newline="") as out:
        csv.writer(out).writerows([("text", "label"), *rows])


def output_of(*command):
    """The lines of a program's standard output; ends the study if it failed."""
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{Path(sys.argv[0]).name}: {command[0]} {command[1]} ended with code {done.returncode}; the same command goes on from here")
    return done.stdout.splitlines()


def program():
    """Version and source of the program that computes, as results name it."""
    return f"{output_of(BINARY, '--version')[-1]}, source {commit()}"


def ulmfit(*arguments):
    """The JSON object on a command's last line, or None if it had nothing to do."""
    lines = output_of(BINARY, *arguments)
    return json.loads(lines[-1]) if lines else None


def pretrained(work, wanted, epochs, threads, precision):
    """Stage folders by name: small language models of WikiText-2 (configs/wikitext-2-small.cfg, 20,000 words of our rules), `wanted`
    the options of each; those that are there stay."""
    corpus = work / "wikitext-2"
    data = Path(os.environ["ULMFIT_TEST_DATA"]) / "wikitext-2"
    if not (corpus / "MANIFEST.json").exists():
        ulmfit("prepare-corpus", "--input", data / "train.txt.xz", "--valid-input", data / "valid.txt.xz", "--format", "lines",
               "--vocab.size", 20000, "--output", corpus)
    for name, more in wanted.items():
        ulmfit("pretrain", "--config", ROOT / "configs/wikitext-2-small.cfg", "--corpus", corpus, "--output", work / f"lm-{name}", "--epochs", epochs, *more,
               "--train.threads", threads, "--precision", precision)
    return {name: work / f"lm-{name}/stage" for name in wanted}


def perplexity(stage):
    """At the end of its training."""
    lines = map(json.loads, (stage.parent / "metrics.jsonl").read_text().splitlines())
    return [round(line["perplexity"], 2) for line in lines if line["type"] == "valid"][-1]


def kept(file, make):
    """The result in a file; made, and written whole, if it is not there."""
    if not file.exists():
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(make()) + "\n")
        partial.rename(file)
    return json.loads(file.read_text())


def check_same(work, made_by):
    """Results of one folder are of one language model, program and setting."""
    before = kept(work / "made-by.json", lambda: made_by)
    if before != json.loads(json.dumps(made_by)):
        sys.exit(f"{Path(sys.argv[0]).name}: {work} holds results of {before}, these would be of {made_by}; give another --work")


def result_file(name):
    """tests/bench/results/NAME-<processor>.json"""
    return Path(__file__).resolve().parent / f"results/{name}-{file_name(machine()['cpu'])}.json"


def written(name):
    """The content of a result file, empty where there is none."""
    return json.loads(result_file(name).read_text()) if result_file(name).exists() else {}


def write_result(name, content):
    target = result_file(name)
    target.write_text(json.dumps(content, indent=1) + "\n")
    print(f"\nwritten: {target}")
