"""Runs the ulmfit binary for tests: small corpora, ranks, kills, and readers of what a run leaves behind.

Standard library only. The binary is named by the environment variable ULMFIT_BINARY, which CTest sets.
"""
import csv
import ctypes
import errno
import json
import os
import random
import signal
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

BINARY = os.environ["ULMFIT_BINARY"]


class TestCase(unittest.TestCase):
    """A test with a temporary folder `self.dir`."""

    def setUp(self):
        self._temporary = tempfile.TemporaryDirectory(prefix="ulmfit-test-")
        self.addCleanup(self._temporary.cleanup)
        self.dir = Path(self._temporary.name)

    def ulmfit(self, *arguments, ranks=1, expect=0, stdin="", under_mpirun=None, cwd=".", preexec_fn=None):
        """Runs a command to its end and returns it; fails the test, with what was printed, on another exit code. `cwd` is
        below self.dir."""
        result = subprocess.run(command_line(arguments, ranks, under_mpirun), input=stdin, capture_output=True, text=True,
                                cwd=self.dir / cwd, env=environment(), timeout=600, preexec_fn=preexec_fn)
        self.assertEqual(result.returncode, expect, f"{' '.join(map(str, arguments))}\n{result.stdout}{result.stderr}")
        return result

    def start(self, *arguments, ranks=1, cwd=".", preexec_fn=None, stderr=subprocess.DEVNULL, **variables):
        """Starts a command in a process group of its own, so that kill_all() reaches every rank. `variables`: of the environment."""
        return subprocess.Popen(command_line(arguments, ranks), cwd=self.dir / cwd, env={**environment(), **variables}, start_new_session=True,
                                stdout=subprocess.DEVNULL, stderr=stderr, preexec_fn=preexec_fn)

    def assert_same_weights(self, one, other):
        """Bit for bit."""
        self.assertEqual((self.dir / one).read_bytes(), (self.dir / other).read_bytes(), f"{one} and {other} differ")

    def metrics(self, run, kind="train"):
        lines = (self.dir / run / "metrics.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["type"] == kind]


def class_folder(cls):
    """A temporary folder for what is made once for all tests of a class."""
    temporary = tempfile.TemporaryDirectory(prefix="ulmfit-test-")
    cls.addClassCleanup(temporary.cleanup)
    return Path(temporary.name)


def environment():
    return {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}


def command_line(arguments, ranks, under_mpirun=None):
    command = [BINARY, *map(str, arguments)]
    if under_mpirun or (under_mpirun is None and ranks > 1):
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), *command]
    return command


def deny_flock():
    """To be called in a process before it becomes another program: flock fails from then on, as on a file system without locks."""
    load, equal, fail, allow = 0x20, 0x15, 0x06, 0x06  # of the kernel's packet filter
    flock = {"x86_64": 73, "aarch64": 32}[os.uname().machine]
    steps = [(load, 0, 0, 0), (equal, 0, 1, flock), (fail, 0, 0, 0x00050000 | errno.ENOSYS), (allow, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    head = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(program)))
    call = ctypes.CDLL(None, use_errno=True).prctl
    if call(38, 1, 0, 0, 0) != 0 or call(22, 2, ctypes.c_void_p(ctypes.addressof(head)), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this kernel does not let a test deny flock")


def kill_all(process):
    """kill -9 for the process and everything that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def sentences(count, seed=1, words=120):
    """Made-up text that has something to learn: each word prefers a few followers. A list of sentences; the language is the
    same for every seed."""
    rng = random.Random(1)
    lexicon = ["".join(rng.choice("bdfgklmnprst") + rng.choice("aeiou") for _ in range(rng.randint(1, 3))) for _ in range(words)]
    lexicon = sorted(set(lexicon))
    followers = {word: rng.sample(lexicon, 4) for word in lexicon}
    rng = random.Random(f"text {seed}")
    made = []
    for _ in range(count):
        word = rng.choice(lexicon)
        sentence = [word]
        for _ in range(rng.randint(3, 25)):
            word = rng.choice(followers[word]) if rng.random() < 0.85 else rng.choice(lexicon)
            sentence.append(word)
        made.append(" ".join(sentence).capitalize() + " .")
    return made


def labelled_rows(count, seed=2):
    """(label, text): the label is decided by which of three marker words stands in the sentence."""
    rng = random.Random(seed)
    markers = {"red": "crimson", "green": "emerald", "blue": "azure"}
    rows = []
    for sentence in sentences(count, seed):
        label = rng.choice(sorted(markers))
        place = sentence.split(" ")
        place.insert(rng.randrange(len(place)), markers[label])
        rows.append((label, " ".join(place)))
    return rows


def write_csv(path, rows):
    path.write_text("label,text\n" + "".join(f'{label},"{text}"\n' for label, text in rows))


def read_safetensors(path):
    """Name -> list of float32 values."""
    data = Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw = data[8 + size + begin:8 + size + end]
        tensors[name] = struct.unpack(f"<{len(raw) // 4}f", raw)
    return tensors


def study_results(folder):
    """A study's table by cell, without what depends on the machine."""
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    seconds = [float(row.pop("seconds")) for row in rows]
    assert min(seconds) >= 0
    return {row["cell"]: row for row in rows}


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False
