"""What the README files tell people to type: commands and options that exist, files that are there, and the way from a CSV to
predictions word for word."""
import os
import re
import subprocess
import unittest
from pathlib import Path

from tests.support.ulmfit import BINARY, TestCase, environment, labelled_rows, sentences, write_csv

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(p for p in [ROOT / "README.md", *ROOT.glob("[a-z]*/**/*.md")] if "fixtures" not in p.parts and not p.is_relative_to(ROOT / "build"))
ROOMS = {"src", "launch", "data_prep", "configs", "cluster", "tests"}
# Options of other programs, and of scripts, that the pages name.
OF_OTHERS = {"--prefix", "--oversubscribe", "--requeue", "--no-requeue", "--dependency", "--signal", "--batch", "--mpi", "--nodes", "--ntasks-per-node",
             "--gpus-per-node", "--gpus-per-task", "--cpus-per-task", "--bind-to", "--install"}
OF_SCRIPTS = {"--full", "--budget", "--quick", "--all", "--gpu", "--dev", "--no-apt", "--on", "--chain", "--bundle", "--output", "--dir"}


def code_lines(page):
    """Indented blocks, without what stands behind a #."""
    for line in page.read_text().splitlines():
        if line.startswith("    ") and not line.strip().startswith(("#", "[", "{")):
            yield re.split(r"\s#\s", line.strip())[0].strip()


class Readme(TestCase):
    helps = {}

    def help_of(self, *words):
        if words not in self.helps:
            self.helps[words] = self.ulmfit(*words, "--help", "all").stdout
        return self.helps[words]

    def options_of(self, *words):
        return set(re.findall(r"--[a-z][a-z0-9.-]*", self.help_of(*words)))

    def test_the_main_page_is_short(self):
        lines = (ROOT / "README.md").read_text().splitlines()
        self.assertLessEqual(len(lines), 120)
        self.assertEqual([line for line in lines if re.fullmatch("[A-Z]{4,}", line)], [], "a placeholder")

    def test_commands_and_options_in_code_exist(self):
        seen = 0
        for page in PAGES:
            for line in code_lines(page):
                for part in re.split(r"\s*(?:&&|;|\||>)\s*", line):
                    words = re.sub(r'"[^"]*"', "QUOTED", part).split()
                    if "ulmfit" not in words[:-1]:
                        continue
                    words = words[words.index("ulmfit") + 1:]
                    with self.subTest(page=page.name, line=line):
                        command = words[:2] if words[0] in ("bench", "study") else words[:1]
                        self.assertIn(f"Usage: ulmfit {' '.join(command)}", self.help_of(*command))
                        for option in (w.split("=")[0] for w in words if w.startswith("--")):
                            self.assertIn(option, self.options_of(*command) | {"--help", "--config"})
                        seen += 1
        self.assertGreater(seen, 20)

    def test_options_in_sentences_exist(self):
        names = re.findall(r"^  (\S+)  ", self.ulmfit("--help").stdout, re.M)
        known = set(OF_OTHERS) | OF_SCRIPTS | {"--help", "--version", "--config", "--restart-from"}
        for name in names:
            if name not in ("bench", "run", "study"):
                known |= self.options_of(name)
        for kind in ("lm", "classifier", "predict", "checkpoint", "allreduce"):
            known |= self.options_of("bench", kind)
        for kind in ("low-shot", "ablation"):
            known |= self.options_of("study", kind)
        for page in PAGES:
            for option in set(re.findall(r"`[^`\n]*?(--[a-z][a-z0-9.-]*)", page.read_text())):
                with self.subTest(page=page.name, option=option):
                    self.assertIn(option, known)

    def test_files_that_are_named_are_there(self):
        for page in PAGES:
            for name in set(re.findall(r"(?<![\w/.])((?:%s)/[\w./-]*\w)" % "|".join(ROOMS), page.read_text())):
                with self.subTest(page=page.name, file=name):
                    self.assertTrue((ROOT / name).exists() or list(ROOT.glob(name + ".*")) or list(ROOT.glob(name + "*")), name)

    def test_from_a_csv_to_predictions_word_for_word(self):
        write_csv(self.dir / "news.csv", labelled_rows(120, seed=2))
        write_csv(self.dir / "test.csv", labelled_rows(60, seed=3))
        (self.dir / "more.txt").write_text("\n".join(sentences(200, seed=4)) + "\n")
        (self.dir / "general.txt").write_text("\n".join(sentences(300, seed=5)) + "\n")
        self.ulmfit("prepare-corpus", "--input=general.txt", "--output=corpus")
        self.ulmfit("pretrain", "--corpus=corpus", "--output=general-lm", "--model.embedding=12", "--model.hidden=16", "--model.layers=2", "--train.streams=8")
        page = (ROOT / "README.md").read_text()
        section = page[page.index("## From your CSV"):page.index("## On many cores")]
        lines = [line.strip() for line in section.splitlines() if re.match(r"    (ulmfit|echo) ", line)]
        self.assertGreaterEqual(len(lines), 5)
        (self.dir / "configs").symlink_to(ROOT / "configs")
        (self.dir / "bin").mkdir()
        (self.dir / "bin/ulmfit").symlink_to(BINARY)
        path = f"{self.dir / 'bin'}:{os.environ['PATH']}"
        for line in lines:
            done = subprocess.run(["bash", "-c", line], cwd=self.dir, env={**environment(), "PATH": path}, capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, f"{line}\n{done.stderr}")
        self.assertIn('"label"', done.stdout)
        self.assertTrue((self.dir / "classifier/report.html").exists() and (self.dir / "evaluation/report.html").exists())

    def test_an_installed_program_finds_its_libraries(self):
        done = subprocess.run(["cmake", "--install", Path(BINARY).parent, "--prefix", self.dir / "there"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        said = subprocess.run([self.dir / "there/bin/ulmfit", "--version"], capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
        self.assertIn("libtorch", said.stdout, said.stderr)

    def test_the_pipeline_of_configs(self):
        page = (ROOT / "configs/README.md").read_text()
        block = page[page.index("    [prepare-labelled]"):page.index("## A run folder")]
        (self.dir / "project.cfg").write_text("\n".join(line[4:] for line in block.splitlines()) + "\n")
        write_csv(self.dir / "train.csv", labelled_rows(120, seed=2))
        (self.dir / "more.txt").write_text("\n".join(sentences(200, seed=4)) + "\n")
        self.ulmfit("prepare-corpus", "--input=more.txt", "--output=corpus")
        self.ulmfit("pretrain", "--corpus=corpus", "--output=general-lm", "--model.embedding=12", "--model.hidden=16", "--model.layers=2", "--train.streams=8")
        self.ulmfit("run", "--config=project.cfg")
        self.assertIn("nothing to do", self.ulmfit("run", "--config=project.cfg").stderr)


if __name__ == "__main__":
    unittest.main()
