#!/usr/bin/env python3
"""Writes folders of every kind, and what a binary answers about them, for tests/end_to_end/old_folders_test.py.

    tests/reference/old_folders.py BINARY OUT

tests/fixtures/9207f86 holds what the binary of commit 9207f86 wrote. Later programs must read it: when a format changes, it
stays, and a new folder is made beside it. All text is made up; the commands run in a temporary folder with relative paths, so
that a fixture tells nothing of the machine but its kind of CPU.

corpus/                                  of prepare-corpus
data/lm, data/labelled                   of prepare-labelled
lm-stopped/, classifier-stopped/         stopped by USR2 and saved, in the middle of an epoch and at the end of one
lm-finished/, classifier-finished/       by the same commands, from the start to the end
target-lm-finished/                      the classifier's parent
expected.json                            what evaluate, predict and inspect print

Left out of the run folders, which need none of it to go on: .lock (host and process), log.txt, report.html (large).
"""
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

VOCABULARY = ["--vocab.size=32", "--vocab.min-count=1"]
PREPARE = [["prepare-corpus", "--input=general.txt", "--output=corpus", "--valid-share=0.15", *VOCABULARY],
           ["prepare-labelled", "--train=train.csv", "--valid=valid.csv", "--test=test.csv", "--output=data", *VOCABULARY]]
CPU = ["--device=cpu", "--train.threads=1"]
SMALL = [*CPU, "--checkpoint.every=3", "--checkpoint.keep=1"]
WINDOWS = ["--train.streams=4", "--train.bptt=8", "--log.every=2", "--lr=0.05"]
LM = ["pretrain", "--corpus=corpus", "--model.embedding=6", "--model.hidden=6", "--model.layers=2", "--train.steps=12", *WINDOWS,
      *SMALL]
TARGET_LM = ["finetune-lm", "--from=lm-finished", "--corpus=data/lm", "--train.steps=8", *WINDOWS, *SMALL]
CLASSIFIER = ["train-classifier", "--from=target-lm-finished", "--data=data/labelled", "--head.hidden=6", "--head.dropout=0",
              "--drop-mult=0.1", "--batch-size=8", "--epochs=5", "--optim.unfreeze=1,4", "--optim.factor=1", "--lr=0.15",
              "--log.every=15", *SMALL]
CORPORA = ["corpus", "data/lm", "data/labelled"]
FINISHED = {"lm-finished": LM, "target-lm-finished": TARGET_LM, "classifier-finished": CLASSIFIER}
STOPPED = {"lm-stopped": (LM, 5), "classifier-stopped": (CLASSIFIER, 24)}  # after that step
LEFT_OUT = shutil.ignore_patterns(".lock", "log.txt", "report.html")

EVALUATIONS = {"lm-finished": ["evaluate", "--model=lm-finished", "--data=corpus", "--split=valid", "--batch-size=4", *CPU],
               "classifier-finished": ["evaluate", "--model=classifier-finished", "--data=data/labelled", "--split=test", *CPU]}
PREDICT = ["predict", "--model=classifier-finished", *CPU]
TEXTS = ["Ba crimson do .", "mo su azure", "EMERALD emerald emerald emerald", "", "no marker at all , \u00e9t\u00e9 \U0001f600"]

WORDS = "ba bo defo do fa gu kila ko lu mena mo nasu no pe ri rido su sa tamo ta vi vo wa zu".split()
MARKERS = {"red": "crimson", "green": "emerald", "blue": "azure"}


def answers(run):
    """What `run(*arguments, stdin=...)`, which returns standard output, is told about the folders."""
    inspected = {folder: json.loads(run("inspect", folder, "--json")) for folder in [*CORPORA, *FINISHED]}
    return {"evaluations": {model: json.loads(run(*command)) for model, command in EVALUATIONS.items()},
            "predictions": [json.loads(line) for line in run(*PREDICT, stdin="".join(t + "\n" for t in TEXTS)).splitlines()],
            "splits": {folder: {split: told["fingerprint"] for split, told in inspected[folder]["splits"].items()}
                       for folder in CORPORA},
            "weights": {folder: inspected[folder]["weights"] for folder in FINISHED}}


def execute(binary, folder, *arguments, expect=0, stdin="", stop=False):
    result = subprocess.run([binary, *arguments], cwd=folder, input=stdin, capture_output=True, text=True,
                            preexec_fn=wait_with_a_signal if stop else None)
    if result.returncode != expect:
        sys.exit(f"{' '.join(arguments)}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def wait_with_a_signal():
    """In the child: USR2 is there before the program is. It makes one step, saves and ends: each time at the same place."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    os.kill(os.getpid(), signal.SIGUSR2)


def made_up(count, seed):
    """(label, text): one of three marker words in a short row of other ones, which has some order."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        place = rng.randrange(len(WORDS))
        words = [WORDS[(place + 3 * i + rng.choice((0, 0, 0, 1))) % len(WORDS)] for i in range(rng.randint(2, 7))]
        label = rng.choice(sorted(MARKERS))
        words.insert(rng.randint(0, len(words)), MARKERS[label])
        rows.append((label, " ".join(words).capitalize() + " ."))
    return rows


def write_folders(run, folder):
    (folder / "general.txt").write_text("".join(f"{text}\n" for _, text in made_up(90, seed=1)))
    for name, count, seed in (("train", 48, 2), ("valid", 16, 3), ("test", 16, 4)):
        rows = made_up(count, seed)
        (folder / f"{name}.csv").write_text("label,text\n" + "".join(f'{label},"{text}"\n' for label, text in rows))
    for command in PREPARE:
        run(*command)
    for name, command in FINISHED.items():
        run(*command, f"--output={name}")
    for name, (command, step) in STOPPED.items():
        for _ in range(step):
            run(*command, f"--output={name}", expect=75, stop=True)
        checkpoints = [path.name for path in (folder / name / "checkpoints").iterdir()]
        if checkpoints != [f"step-{step:09d}"]:
            sys.exit(f"{name}: expected the checkpoint of step {step} alone, found {checkpoints}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    binary, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = functools.partial(execute, binary, folder)
        write_folders(run, folder)
        expected = answers(run)
        for name in ("corpus", "data", *FINISHED, *STOPPED):
            shutil.copytree(folder / name, out / name, ignore=LEFT_OUT)
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
