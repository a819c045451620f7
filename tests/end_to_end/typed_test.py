"""Every command line of ulmfit, mpirun, sbatch and pipeline.sh in the README files, typed as it stands in a folder that holds what it
names. Models are made small by a wrapper around ulmfit, and jobs run at once, on two tasks at most, by a made-up sbatch."""
import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from tests.support.ulmfit import BINARY, TestCase, class_folder, environment, labelled_rows, sentences, write_csv

ROOT = Path(__file__).resolve().parents[2]
# Lines that are typed elsewhere, or cannot be typed here.
ELSEWHERE = {"ulmfit fetch": "needs the network: fetch_test", "spm_train": "another program", "sentencepiece": "chinese_test has a model for it",
             "launch/": "quickstart and tests/run themselves", "tests/": "benchmarks", "gpu-bundle/": "first_contact_test", "cmake": "readme_test", "export PATH": "readme_test"}

SMALL = "--model.embedding=12 --model.hidden=16 --model.layers=2"
ULMFIT = f"""#!/bin/bash
case "$1 $2" in
  "pretrain "*) [[ " $* " == *" --model.embedding"* ]] && exec {BINARY} "$@" || exec {BINARY} "$@" {SMALL} ;;
  "bench lm") exec {BINARY} "$@" {SMALL} --vocab=200 --streams=8 --bptt=10 --blocks=1 --block=2 ;;
  "bench classifier" | "bench predict") exec {BINARY} "$@" {SMALL} --vocab=200 --documents=24 --length=30 --batch-size=8 --bpt3c.window=10 --blocks=1 ;;
  "study low-shot" | "study ablation") [[ " $* " == *" --config "* ]] && exec {BINARY} "$@" || exec {BINARY} "$@" --dry-run ;;  # study_test runs them
  "bench rnn") exec {BINARY} "$@" --columns=2 --bptt=5 --repeats=1 ;;
  "bench checkpoint") exec {BINARY} "$@" {SMALL} --vocab=200 ;;
  *) exec {BINARY} "$@" ;;
esac
"""
# What a batch script finds in its environment; options as sbatch knows them, those of the script's head behind those given.
SBATCH = """#!/bin/bash
tasks=1
while [[ $1 == --* ]]; do
  case $1 in
    --ntasks=* | --ntasks-per-node=*) [ "${1#*=}" = 1 ] || tasks=2 ;;
    --nodes=* | --gpus-per-node=* | --cpus-per-task=* | --array=* | --job-name=* | --dependency=* | --kill-on-invalid-dep=* | --parsable) ;;
    *) echo "sbatch: unknown option $1" >&2; exit 1 ;;
  esac
  shift
done
export SLURM_JOB_ID=$$ SLURM_NTASKS=$tasks SLURM_SUBMIT_DIR=$PWD
"$@" >&2 || exit 1
echo $$
"""
SETTINGS = SMALL.replace("--", "").replace(" ", "\n") + "\n"
STUDY = "train = news.csv\ntest = test.csv\nfrom = general-lm\nlabels = 12\nseeds = 1\noutput = low-shot\n"


def commands(page):
    """The lines of indented blocks, those that end in a backslash with the next, without what stands behind a #."""
    lines, before = [], ""
    for line in page.read_text().splitlines():
        if not line.startswith("    ") or line.strip().startswith(("#", "[", "{")):
            continue
        line = before + re.split(r"\s#\s", line.strip())[0].strip()
        before = line[:-1] if line.endswith("\\") else ""
        if not before and re.search(r"(^|\s|;)(ulmfit|mpirun|sbatch|\S*pipeline\.sh) ", line) and not any(word in line for word in ELSEWHERE):
            lines.append(line)
    return lines


class Typed(TestCase):
    @classmethod
    def setUpClass(cls):
        """A folder with all that the pages name."""
        cls.made = made = class_folder(cls)
        for seed, (name, rows) in enumerate((("news", 700), ("train", 160), ("test", 60), ("new", 20))):
            write_csv(made / f"{name}.csv", labelled_rows(rows, seed=seed))
        for name, count in (("more", 100), ("general", 2000)):
            (made / f"{name}.txt").write_text("\n".join(sentences(count, seed=4)) + "\n")
        # More words than the cutoffs of a large vocabulary.
        (made / "wide.txt").write_text("".join(" ".join(f"w{i + j}x" for j in range(20)) + "\n" for i in range(0, 80_000, 20)))
        (made / "pretrain.cfg").write_text(SETTINGS)
        (made / "study.cfg").write_text(STUDY)
        (made / "PIPELINE").write_text(f"[pretrain]\ncorpus = corpus\noutput = lm\nepochs = 2\n{SETTINGS}[finetune-lm]\nfrom = lm\ncorpus = corpus\noutput = tuned\nepochs = 2\n")
        for name in ("cluster", "configs", "launch"):
            (made / name).symlink_to(ROOT / name)
        for name in ("lm.pth", "vocab.pkl"):
            shutil.copy(ROOT / "tests/fixtures/fastai" / name, made)
        (made / "bin").mkdir()
        for name, text in (("ulmfit", ULMFIT), ("sbatch", SBATCH)):
            (made / "bin" / name).write_text(text)
            (made / "bin" / name).chmod(0o755)
        for line in ("prepare-corpus --valid=test.csv --input general.txt --output corpus --format lines",
                     "prepare-corpus --input wide.txt --output wide --vocab.min-count 1 --vocab.size 100000",
                     "prepare-labelled --train news.csv --test test.csv --unlabelled more.txt --output data",
                     "pretrain --corpus corpus --output general-lm --epochs 2", "finetune-lm --from general-lm --corpus data/lm --output target-lm --epochs 1",
                     "train-classifier --from target-lm --data data/labelled --output classifier --epochs 2 --optim.unfreeze full",
                     "fit --train test.csv --test new.csv --from general-lm --output news"):
            cls.type(made, "ulmfit " + line)
        cls.type(made, "mpirun -n 2 ulmfit bench allreduce > network.json")

    @classmethod
    def type(cls, folder, line):
        variables = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "ULMFIT": str(folder / "bin/ulmfit"), "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
                     "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}  # Open MPI 4, 4, 5
        done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", line], cwd=folder, env={**environment(), **variables}, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise AssertionError(f"{line}\nends with {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def typed(self, page):
        lines = commands(ROOT / page)
        for i, line in enumerate(lines):
            folder = self.dir / str(i)
            shutil.copytree(self.made, folder, symlinks=True)
            for output in re.findall(r"--(?:output|report) (\S+)", line):
                if f"--from {output}" not in line and f"--model {output}" not in line:
                    shutil.rmtree(folder / output, ignore_errors=True)
            if "--softmax" in line:
                shutil.rmtree(folder / "corpus")
                (folder / "wide").rename(folder / "corpus")
            with self.subTest(page=page, line=line):
                self.type(folder, line)
            shutil.rmtree(folder)
        return len(lines)

    def test_the_cluster(self):
        self.assertGreaterEqual(self.typed("cluster/README.md"), 12)
        self.assertGreaterEqual(self.typed("cluster/slurm/README.md"), 3)

    def test_the_main_page(self):
        self.assertGreaterEqual(self.typed("README.md"), 10)

    def test_settings(self):
        self.assertGreaterEqual(self.typed("configs/README.md"), 8)
        self.assertGreaterEqual(self.typed("configs/fastai.md"), 3)

    def test_preparation_and_benchmarks(self):
        self.assertGreaterEqual(self.typed("data_prep/README.md"), 2)
        self.assertGreaterEqual(self.typed("tests/bench/README.md"), 5)


if __name__ == "__main__":
    unittest.main()
