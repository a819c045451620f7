"""study: grids of runs that any number of workers share, gone on with after kills, with the same figures; and their tables."""
import json
import os
import re
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from tests.support.ulmfit import BINARY, TestCase, class_folder, deny_flock, environment, kill_all, labelled_rows, read_safetensors, sentences, study_results, wait_for, write_csv

MODEL = ("--model.embedding=24", "--model.hidden=32", "--model.layers=2", "--train.streams=8", "--train.bptt=20", "--train.threads=1")


class Study(TestCase):
    """Texts, and small language models of them, made once for a class and copied into each test's folder."""

    @classmethod
    def setUpClass(cls):
        cls.shared = class_folder(cls)
        write_csv(cls.shared / "train.csv", labelled_rows(140, seed=2))
        write_csv(cls.shared / "test.csv", labelled_rows(60, seed=3))
        (cls.shared / "more.txt").write_text("\n".join(sentences(60, seed=4)) + "\n")
        (cls.shared / "general.txt").write_text("\n".join(sentences(300, seed=5)) + "\n")
        cls.make("prepare-corpus", "--input=general.txt", "--output=corpus")
        cls.make("pretrain", "--corpus=corpus", "--output=forward", *MODEL)

    @classmethod
    def make(cls, *arguments):
        subprocess.run([BINARY, *arguments], cwd=cls.shared, env=environment(), check=True, capture_output=True, timeout=600)

    def setUp(self):
        super().setUp()
        shutil.copytree(self.shared, self.dir, dirs_exist_ok=True)

    def results(self, study):
        return study_results(self.dir / study)

    def states(self, study):
        found = {}
        for cell in sorted((self.dir / study / "cells").iterdir()):
            file = cell / "state.json"
            found[cell.name] = json.loads(file.read_text())["state"] if file.exists() else "open"
        return found

    def child(self, process):
        """The process id of the cell that a worker runs, or None."""
        try:
            found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        except OSError:
            return None
        return int(found[0]) if found else None

    def stop_at(self, command, file, how):
        """Starts a study, and ends it by `how` once the file is there. Its exit code."""
        process = self.start(*command)
        self.assertTrue(wait_for(lambda: (self.dir / file).exists() or process.poll() is not None, seconds=300), file)
        self.assertIsNone(process.poll(), f"it has ended before there was {file}")
        how(process)
        return process.wait()


class LowShot(Study):
    COMMAND = ("study", "low-shot", "--train=train.csv", "--test=test.csv", "--unlabelled=more.txt", "--from=forward", "--labels=12,24",
               "--seeds=1", "--train.threads=1")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make(*cls.COMMAND, "--output=whole")  # what all other ways must come to

    def command(self, name):
        return (*self.COMMAND, f"--output={name}")

    def assert_same_results(self, study):
        self.assertEqual(self.results(study), self.results("whole"))

    def test_the_tables_are_complete_and_say_what_they_are(self):
        results = self.results("whole")
        self.assertEqual(len(results), 1 + 1 + 2 * 4)
        for name, row in results.items():
            self.assertEqual((row["state"], row["exit_code"], row["message"]), ("done", "0", ""), name)
        for setting in ("scratch", "supervised", "semi-supervised"):
            for labels in (12, 24):
                row = results[f"{setting}-{labels}-seed1"]
                self.assertEqual((row["setting"], row["labels"], row["seed"], row["test_texts"]), (setting, str(labels), "1", "60"))
                self.assertTrue(0 <= float(row["error_low"]) <= float(row["error"]) <= float(row["error_high"]) <= 1)
                evaluation = json.loads((self.dir / f"whole/cells/{setting}-{labels}-seed1/evaluation/evaluation.json").read_text())
                self.assertAlmostEqual(float(row["error"]), evaluation["error"], places=8)
        self.assertNotEqual(results["scratch-24-seed1"]["naive_bayes_error"], "")
        page = (self.dir / "whole/study.html").read_text()
        for part in ("How many labels are needed?", "semi-supervised", "naive Bayes", "labelled texts", "data-x-low", "Wilson", "</html>"):
            self.assertIn(part, page)
        self.assertNotIn("http", page.replace("http-equiv", ""))

    def test_subsets_are_balanced_and_lie_within_each_other(self):
        def texts(name):
            return [json.loads(line) for line in (self.dir / f"whole/texts/{name}.jsonl").read_text().splitlines()]
        small, large, valid = texts("12-seed1"), texts("24-seed1"), texts("valid")
        self.assertEqual((len(small), len(large)), (12, 24))
        for subset, each in ((small, 4), (large, 8)):
            self.assertEqual([sum(t["label"] == label for t in subset) for label in ("red", "green", "blue")], [each] * 3)
        self.assertTrue(all(text in large for text in small))
        self.assertFalse([text for text in valid if text in texts("pool")])
        self.assertEqual(len({text["label"] for text in valid}), 3)
        self.assertEqual(len(texts("test")), 60)

    def test_it_grows_by_seeds_and_labels_and_keeps_what_is_done(self):
        shutil.copytree(self.dir / "whole", self.dir / "grown")
        more = (*self.COMMAND[:-3], "--labels=12,18,24", "--seeds=2", "--train.threads=1", "--output=grown")
        self.assertIn("27 cells, 17 of them to be run", self.ulmfit(*more, "--dry-run").stderr)
        self.assertIn("grows from 10 to 27 cells", self.ulmfit(*more).stderr)
        results = self.results("grown")
        self.assertEqual({row["state"] for row in results.values()}, {"done"})
        self.assertEqual({name: row for name, row in results.items() if name in self.results("whole")}, self.results("whole"))
        self.assertNotIn("is not among those", self.ulmfit(*more).stderr)
        self.assertIn("it goes on whole, with 27 cells", self.ulmfit(*self.command("grown")).stderr)  # of a job array's older task
        self.assertEqual(self.results("grown"), results)
        other = (*self.COMMAND[:-3], "--labels=12,30", "--seeds=2", "--train.threads=1", "--output=grown")
        self.assertIn("a study grows by more of both", self.ulmfit(*other, expect=2).stderr)

    def test_it_grows_beside_a_worker_which_goes_on_with_what_is_new(self):
        command = (*self.COMMAND[:-3], "--labels=12", "--train.threads=1", "--output=live")
        first = self.start(*command, "--seeds=1", stderr=subprocess.PIPE)
        self.assertTrue(wait_for(lambda: (self.dir / "live/cells/lm-all-seed1/lm/metrics.jsonl").exists(), seconds=300))
        first.send_signal(signal.SIGSTOP)
        second = self.start(*command, "--seeds=2")
        self.assertTrue(wait_for(lambda: "scratch-12-seed2" in (self.dir / "live/study.json").read_text(), seconds=300))
        first.send_signal(signal.SIGCONT)
        said = first.communicate()[1].decode()
        self.assertEqual((first.returncode, second.wait()), (0, 0))
        self.assertIn("has grown to 11 cells", said)
        results = self.results("live")
        self.assertEqual(({row["state"] for row in results.values()}, len(results)), ({"done"}, 1 + 2 * (1 + 4)))
        self.assertEqual(results["scratch-12-seed1"], self.results("whole")["scratch-12-seed1"])

    def test_from_scratch_a_classifier_trains_longer_and_drops_less(self):
        settings = {setting: (self.dir / f"whole/cells/{setting}-24-seed1/pipeline.cfg").read_text() for setting in ("scratch", "supervised")}
        dropped = {setting: re.findall(r"(?m)^drop-mult *= *(\S+)", text)[-1] for setting, text in settings.items()}
        epochs = {setting: int(re.findall(r"(?m)^epochs *= *(\S+)", text)[-1]) for setting, text in settings.items()}
        self.assertEqual(dropped, {"scratch": "0.5", "supervised": "0.7"})
        self.assertEqual(epochs["scratch"], 3 * epochs["supervised"])

    def test_each_cell_is_an_ordinary_run_folder(self):
        cell = self.dir / "whole/cells/supervised-24-seed1"
        for file in ("pipeline.cfg", "log.txt", "lm/stage/MANIFEST.json", "classifier/report.html", "classifier/stage/CARD.md", "evaluation/report.html"):
            self.assertTrue((cell / file).exists(), file)
        self.assertFalse((cell / "lm/checkpoints").exists(), "what is done needs none")
        self.assertIn('"label"', self.ulmfit("predict", "--model", cell / "classifier", stdin="Some azure words .\n").stdout)
        self.assertIn("nothing to do", self.ulmfit("run", "--config=cells/supervised-24-seed1/pipeline.cfg", cwd="whole").stderr)

    def test_a_dry_run_lists_the_cells_and_writes_nothing(self):
        listed = self.ulmfit(*self.command("planned"), "--dry-run")
        self.assertFalse((self.dir / "planned").exists())
        self.assertEqual(len(listed.stdout.splitlines()), 10)
        self.assertRegex(listed.stdout, r"semi-supervised-12-seed1 +waiting +about \S+ +after lm-all-seed1")
        self.assertRegex(listed.stderr, r"10 cells, 10 of them to be run: about .* and \d+\.\d GB of disk")
        self.assertIn("3 classes; ", listed.stderr)
        self.assertIn("0 of them to be run", self.ulmfit(*self.command("whole"), "--dry-run").stderr)

    def test_it_goes_on_where_the_whole_project_has_moved_to(self):
        project, moved = self.dir / "project", self.dir / "moved"
        project.mkdir()
        for name in ("train.csv", "test.csv", "more.txt", "forward"):
            (self.dir / name).rename(project / name)
        process = self.start(*self.command("study"), cwd="project")
        self.assertTrue(wait_for(lambda: (project / "study/study.json").exists() or process.poll() is not None, seconds=300))
        kill_all(process)
        project.rename(moved)
        self.ulmfit(*self.command("study"), cwd="moved")
        self.assertEqual(study_results(moved / "study"), self.results("whole"))

    def test_a_complete_study_only_writes_its_tables(self):
        for file in ("results.csv", "study.html"):
            (self.dir / "whole" / file).unlink()
        again = self.ulmfit(*self.command("whole"))
        self.assertNotIn("stage", again.stderr)
        told = json.loads(again.stdout)
        self.assertEqual((told["cells"], told["done"], told["broken"]), (10, 10, 0))
        self.assertTrue((self.dir / "whole/study.html").exists())
        self.assertRegex(again.stderr, r"supervised +\d+\.\d\d % \(")

    def test_a_study_of_a_program_without_auto_goes_on(self):
        file = self.dir / "whole/study.json"
        older = file.read_text().replace("precision = auto", "precision = fp32")
        self.assertNotEqual(older, file.read_text())
        file.write_text(older)
        self.assertIn("0 of them to be run", self.ulmfit(*self.command("whole"), "--dry-run").stderr)
        self.assertIn("--precision: fp32 there, auto now", self.ulmfit(*self.command("whole"), "--precision=auto", expect=2).stderr)

    def test_two_workers_come_to_the_same_as_one(self):
        both = self.ulmfit(*self.command("shared"), ranks=2)
        self.assertIn('"broken":0', both.stdout)
        self.assert_same_results("shared")
        starts = re.findall(r"\[study\] (\S+)$", both.stderr, re.M)
        self.assertEqual(sorted(starts), sorted(self.results("whole")), "no cell was run twice")

    def test_where_files_cannot_be_locked_a_second_worker_is_refused(self):
        first = self.start(*self.command("unlocked"), preexec_fn=deny_flock)
        self.assertTrue(wait_for(lambda: list(self.dir.glob("unlocked/cells/*/lm/metrics.jsonl")), seconds=300))
        refused = self.ulmfit(*self.command("unlocked"), expect=2, preexec_fn=deny_flock).stderr
        self.assertRegex(refused, r"has no locks \(flock\), so that one worker alone can be at work, and there is one \(host \S+, process \d+")
        self.assertEqual(first.wait(), 0)
        self.assert_same_results("unlocked")

    def test_killed_at_many_points_it_comes_to_the_same(self):
        places = ["study.json", "cells/texts-all/data.partial", "cells/lm-all-seed1/lm/metrics.jsonl", "cells/scratch-12-seed1/classifier/metrics.jsonl",
                  "cells/supervised-12-seed1/lm/stage/MANIFEST.json"]
        for place in places:
            process = self.start(*self.command("killed"))
            self.assertTrue(wait_for(lambda: (self.dir / "killed" / place).exists() or process.poll() is not None, seconds=300), place)
            kill_all(process)
        # The kernel's, for memory, say: the cell is broken, and tried again.
        process = self.start(*self.command("killed"))
        self.assertTrue(wait_for(lambda: (self.dir / "killed/cells/supervised-24-seed1/lm/metrics.jsonl").exists(), seconds=300))
        seen = self.ulmfit("status", "killed").stdout
        self.assertRegex(seen, r"^killed: low-shot study, \d of 10 cells done, 1 running; about \S+ of one worker left\n"
                               r"  supervised-24-seed1: running \(host \S+, process \d+\)\n")
        os.kill(self.child(process), signal.SIGKILL)
        self.assertEqual(process.wait(), 137)
        state = json.loads((self.dir / "killed/cells/supervised-24-seed1/state.json").read_text())
        self.assertEqual((state["state"], state["exit_code"]), ("broken", 137))
        self.assertIn("ended by signal 9", state["message"])
        self.ulmfit(*self.command("killed"))
        self.assert_same_results("killed")

    def test_signals_stop_the_cell_which_goes_on(self):
        stops = self.dir / "stops"
        for number, place in ((signal.SIGTERM, "cells/lm-all-seed1/lm/metrics.jsonl"), (signal.SIGUSR2, "cells/supervised-12-seed1/lm/metrics.jsonl"),
                              (signal.SIGINT, "cells/scratch-24-seed1/classifier/metrics.jsonl")):
            before = len(stops.read_text().splitlines()) if stops.exists() else 0
            process = self.start(*self.command("stopped"), ULMFIT_STOP_FILE=str(stops))
            self.assertTrue(wait_for(lambda: (self.dir / "stopped" / place).exists() or process.poll() is not None, seconds=300), place)
            if process.poll() is None:
                process.send_signal(number)
                self.assertEqual(process.wait(), 75)
                self.assertGreater(len(stops.read_text().splitlines()), before, "the job script is told")
            self.assertNotIn("broken", self.states("stopped").values())
        self.ulmfit(*self.command("stopped"))
        self.assert_same_results("stopped")

    def test_a_broken_cell_is_told_and_the_rest_goes_on(self):
        shutil.copytree(self.dir / "whole", self.dir / "broken")
        for name in ("lm-all-seed1", "semi-supervised-12-seed1", "semi-supervised-24-seed1", "supervised-12-seed1"):
            for made in ("lm", "classifier", "evaluation", "state.json"):
                path = self.dir / "broken/cells" / name / made
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        pipeline = self.dir / "broken/cells/lm-all-seed1/pipeline.cfg"
        sound = pipeline.read_text()
        pipeline.write_text(sound.replace("epochs", "epoks"))
        ended = self.ulmfit(*self.command("broken"), expect=2)
        self.assertIn("lm-all-seed1 is broken (exit code 2)", ended.stderr)
        told = json.loads(ended.stdout)
        self.assertEqual((told["done"], told["broken"], told["blocked"]), (7, 1, 2))
        self.assertIn("epoks", (self.dir / "broken/study.html").read_text())
        self.assertRegex(self.ulmfit("status", "broken").stdout,
                         r"^broken: low-shot study, 7 of 10 cells done, 1 broken, 2 blocked by these\n  lm-all-seed1: broken: .*--epoks")
        seen = json.loads(self.ulmfit("status", "broken", "--json").stdout)
        self.assertEqual((seen["cells"], seen["done"], seen["blocked"], list(seen["broken"])), (10, 7, 2, ["lm-all-seed1"]))
        results = self.results("broken")
        self.assertIn("has no option --epoks", results["lm-all-seed1"]["message"])
        self.assertEqual(results["semi-supervised-12-seed1"]["state"], "blocked")
        self.assertEqual(results["supervised-12-seed1"], self.results("whole")["supervised-12-seed1"])
        pipeline.write_text(sound)
        self.ulmfit(*self.command("broken"))
        self.assert_same_results("broken")

    def test_two_directions_and_cells_of_two_ranks(self):
        self.ulmfit("pretrain", "--corpus=corpus", "--output=backward", "--direction=backward", *MODEL)
        self.ulmfit("study", "low-shot", "--train=train.csv", "--test=test.csv", "--valid=test.csv", "--from", "forward", "backward",
                    "--labels=12", "--seeds=2", "--train.threads=1", "--output=both", "--launcher=mpirun --oversubscribe --bind-to none -n 2")
        results = self.results("both")
        self.assertEqual({row["state"] for row in results.values()}, {"done"})
        for setting in ("scratch", "supervised", "semi-supervised"):
            for seed in (1, 2):
                row = results[f"{setting}-12-seed{seed}"]
                self.assertTrue(row["error"] and row["error_forward"] and row["error_backward"], row)
        page = (self.dir / "both/study.html").read_text()
        self.assertIn("supervised, backward alone", page)
        self.assertIn("Student", page)
        self.assertIn("2 ranks", (self.dir / "both/cells/supervised-12-seed1/log.txt").read_text())


class Ablation(Study):
    def test_the_papers_tables(self):
        self.make_models()
        command = ("study", "ablation", "--train=train.csv", "--test=test.csv", "--from", "forward", "backward", "--vanilla=vanilla",
                   "--general=general.txt", "--seeds=1", "--train.threads=1", "--output=study")
        self.assertEqual(self.stop_at(command, "study/cells/full-seed1/classifier/metrics.jsonl", lambda p: p.send_signal(signal.SIGTERM)), 75)
        done = self.ulmfit(*command)
        results = self.results("study")
        self.assertEqual({row["state"] for row in results.values()}, {"done"})
        for title in ("Pretraining", "Language model", "Tuning of the language model", "Tuning of the classifier", "Direction"):
            self.assertIn(f"\n{title}\n", done.stderr)
        for setting in ("scratch", "full", "full-discr", "last", "chain-thaw", "freez", "freez-discr", "freez-stlr", "freez-cos", "ulmfit",
                        "no-pretraining", "vanilla", "classifier-of-lm-untuned", "classifier-of-lm-full", "classifier-of-lm-full-discr",
                        "other-direction", "both"):
            self.assertRegex(results[f"{setting}-seed1"]["error"], r"^[01]", setting)
        untuned, tuned = (float(results[f"general-lm-{name}-seed1"]["general_perplexity"]) for name in ("untuned", "tuned"))
        self.assertGreater(min(untuned, tuned), 1)
        # The model before it was tuned is the given one: no weight but those of words has moved, and of these none that it knew.
        given = read_safetensors(self.dir / "forward/stage/model.safetensors")
        untuned = read_safetensors(self.dir / "study/cells/lm-untuned-seed1/lm/stage/model.safetensors")
        for name, values in given.items():
            if not name.startswith(("embedding", "decoder")):
                self.assertEqual(untuned[name], values, name)
        page = (self.dir / "study/study.html").read_text()
        for part in ("What does each part bring?", "Error by epoch", "freez + discr + stlr", "makes the language model forget", "</html>"):
            self.assertIn(part, page)
        self.assertNotIn("left out", page)

    def make_models(self):
        self.ulmfit("pretrain", "--corpus=corpus", "--output=backward", "--direction=backward", *MODEL)
        self.ulmfit("pretrain", "--corpus=corpus", "--output=vanilla", "--drop-mult=0", *MODEL)

    def test_what_is_not_given_is_left_out_and_said(self):
        planned = self.ulmfit("study", "ablation", "--train=train.csv", "--test=test.csv", "--from=forward", "--seeds=2", "--output=x", "--dry-run")
        for part in ("left out: the language model without dropout", "left out: the other direction", "--general"):
            self.assertIn(part, planned.stderr)
        self.assertNotIn("vanilla", planned.stdout)
        self.assertEqual(len(planned.stdout.splitlines()), 1 + 2 * 19)


class BadInput(Study):
    COMMAND = ("study", "low-shot", "--train=train.csv", "--test=test.csv", "--from=forward", "--labels=12", "--output=study")

    def refused(self, *changes, expect):
        """The message; nothing of the study is there. Each change takes the place of the option of its name."""
        names = [change.split("=")[0] for change in changes]
        command = [word for word in self.COMMAND if word.split("=")[0] not in names] + list(changes)
        message = self.ulmfit(*command, expect=expect).stderr
        self.assertFalse((self.dir / "study").exists())
        return message

    def test_is_told_before_any_work(self):
        self.assertIn("subset of 3000 labels: it takes 1000 texts of class", self.refused("--labels=12,3000", expect=3))
        self.assertIn("give --labels of at most", self.refused("--labels=12,3000", expect=3))
        self.assertIn("--labels=2: a balanced subset of 3 classes has 3 labels or more", self.refused("--labels=2", expect=2))
        self.assertIn("--labels=many: expected numbers", self.refused("--labels=many", expect=2))
        self.assertIn("'topic'", self.refused("--label-column=topic", expect=3))
        self.assertIn("nothing.csv", self.refused("--test=nothing.csv", expect=3))
        self.assertRegex(self.refused("--from=nothing", expect=4), r"no finished stage in \S*/nothing")
        self.assertIn("--from=none", self.refused("--from=none", expect=2))
        self.assertIn("cells/CELL/pipeline.cfg", self.refused("--epochs=3", expect=2))
        self.assertIn("leave --label-delimiter out", self.refused("--label-delimiter=;", expect=2))
        self.assertIn("there is no kind of study 'lowshot'; did you mean low-shot?", self.ulmfit("study", "lowshot", expect=2).stderr)

    def test_classes_that_cannot_be_drawn_or_learned(self):
        rows = labelled_rows(60)
        write_csv(self.dir / "train.csv", [*rows, ("rare", "One text alone .")])
        self.assertIn("class 'rare' has 1 text ", self.refused(expect=3))
        write_csv(self.dir / "train.csv", [(label, text) for label, text in rows if label != "red"])
        self.assertIn("the label 'red' of its text", self.refused(expect=3))
        write_csv(self.dir / "train.csv", [("red", text) for _, text in rows])
        self.assertIn("all its texts have the label 'red'", self.refused(expect=3))

    def test_another_study_in_the_folder_is_refused_and_stays(self):
        process = self.start(*self.COMMAND)
        self.assertTrue(wait_for(lambda: (self.dir / "study/cells/texts-all/data").exists()))
        kill_all(process)
        kept = (self.dir / "study/study.json").read_bytes()
        other = [word.replace("--labels=12", "--labels=18") for word in self.COMMAND]
        refused = self.ulmfit(*other, "--seeds=2", expect=2).stderr
        self.assertIn("holds a study with the cell texts-12-seed1, which is not among those", refused)
        self.assertIn("a study grows by more of both; give all that it has and the new ones, or another --output", refused)
        self.assertIn("low-shot, not ablation", self.ulmfit("study", "ablation", *[w for w in self.COMMAND[2:] if "labels" not in w], expect=2).stderr)
        write_csv(self.dir / "train.csv", labelled_rows(141, seed=2))
        self.assertIn("--train: its content has changed", self.ulmfit(*self.COMMAND, expect=2).stderr)
        self.assertEqual((self.dir / "study/study.json").read_bytes(), kept)
        self.assertIn("which is no part of one", self.ulmfit(*self.COMMAND[:-1], "--output=forward", expect=3).stderr)
        (self.dir / "full").mkdir()
        (self.dir / "full/thesis.tex").write_text("x")
        write_csv(self.dir / "train.csv", labelled_rows(140, seed=2))
        self.assertIn("it holds thesis.tex", self.ulmfit(*self.COMMAND[:-1], "--output=full", expect=3).stderr)


if __name__ == "__main__":
    unittest.main()
