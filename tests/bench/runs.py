"""What the studies of classifiers share: they read the public data sets, call ulmfit, keep every result, and go on where they were."""
import csv
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

from machine import file_name, machine

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


def ulmfit(*arguments):
    """The JSON object on a command's last line, or None if it had nothing to do."""
    lines = output_of(BINARY, *arguments)
    return json.loads(lines[-1]) if lines else None


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
