"""A save can be cut off at any of its system calls, and any of them can fail: nothing is lost, doubled or missing.

The calls are seen, counted, cut off and failed by tests/support/save_shim.cpp, which is preloaded into ulmfit.
"""
import os
import signal
import subprocess
import unittest
from pathlib import Path

from tests.support.ulmfit import TestCase, command_line, environment, sentences

SHIM = os.environ["ULMFIT_SAVE_SHIM"]
ALL = os.environ.get("ULMFIT_TEST_CALLS") == "all"  # else some of the calls
RUN = ["pretrain", "--corpus=corpus", "--model.embedding=8", "--model.hidden=8", "--model.layers=1", "--train.streams=4",
       "--train.bptt=10", "--train.steps=40", "--epochs=100", "--log.every=3", "--checkpoint.every=10", "--train.threads=1"]
SAVED_THIRD = "step-000000030"  # with two kept, the save after which the first is removed


class Save(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not Path(SHIM).exists():
            raise RuntimeError(f"{SHIM} is missing: build the target save_shim")

    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(300)))
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.05")
        self.shimmed("whole", expect=0)
        self.calls = self.logged("whole")

    def shimmed(self, output, folder="checkpoints", expect=-signal.SIGKILL, **settings):
        """Runs with the shim over the folder of that name in the run folder."""
        shim = {"LD_PRELOAD": SHIM, "ULMFIT_SHIM_FOLDER": f"/{output}/{folder}",
                "ULMFIT_SHIM_LOG": str(self.dir / f"{output}.calls")}
        shim |= {f"ULMFIT_SHIM_{key.upper()}": value for key, value in settings.items()}
        result = subprocess.run(command_line([*RUN, f"--output={output}"], 1), capture_output=True, text=True, cwd=self.dir,
                                env={**environment(), **shim}, timeout=120)
        self.assertEqual(result.returncode, expect, f"{settings}\n{result.stdout}{result.stderr}")
        return result

    def logged(self, output):
        """(number, call, path below the run folder) of each call."""
        lines = [line.split(" ", 2) for line in (self.dir / f"{output}.calls").read_text().splitlines()]
        return [(int(number), call, path.split(f"/{output}/", 1)[1]) for number, call, path in lines]

    def third_save(self):
        """The calls of one whole save, with the removal of an old checkpoint at its end."""
        numbers = [number for number, _, path in self.calls if SAVED_THIRD in path]
        first, after = numbers[0], next(n for n, _, path in self.calls if ".saving-step-000000040" in path)
        save = [c for c in self.calls if first <= c[0] < after]
        self.assertEqual([c[0] for c in save], list(range(first, after)))
        kinds = {call for _, call, _ in save}
        self.assertLessEqual({"mkdir", "open", "write", "fsync", "rename"}, kinds)
        self.assertTrue(any("step-000000010" in path for _, _, path in save), "the oldest checkpoint is removed")
        return save

    def chosen(self, calls, step):
        return calls if ALL else calls[::step] + [c for c in calls if c[1] == "rename"]

    def assert_like_whole(self, run, what):
        self.assert_same_weights(f"{run}/stage/model.safetensors", "whole/stage/model.safetensors")
        self.assertEqual(self.told(run), self.told("whole"), f"metrics.jsonl: {what}")
        self.assertEqual(self.events(run), self.events("whole"), f"event file: {what}")

    def checkpoints(self, run):
        return sorted(p.name for p in (self.dir / run / "checkpoints").iterdir())

    def told(self, run):
        timed = ("tokens_per_s", "data_wait", "comm", "memory_mb", "elapsed_s")
        return [{k: v for k, v in m.items() if k not in timed} for kind in ("train", "valid") for m in self.metrics(run, kind)]

    def events(self, run):
        timed = (b"tokens_per_s",)
        return [e for e in map(without_time, self.event_records(run)) if not any(name in e for name in timed)]

    def event_records(self, run):
        (path,) = (self.dir / run / "tensorboard").iterdir()
        data = path.read_bytes()
        records = []
        at = 0
        while at < len(data):
            size = int.from_bytes(data[at:at + 8], "little")
            self.assertLessEqual(at + 16 + size, len(data), f"{path} ends in half a record")
            records.append(data[at + 12:at + 12 + size])
            at += 16 + size
        return records


def without_time(record):
    """An event's bytes behind its wall_time (field 1, eight bytes)."""
    return record[9:]


class Killed(Save):
    def test_before_within_and_after_each_call_of_a_save(self):
        kills = 0
        for number, call, path in self.chosen(self.third_save(), 11):
            for when in ("before", "within", "after"):
                if when == "within" and call != "write":
                    continue
                run = f"killed-{when}-{number}"
                self.shimmed(run, kill=f"{when}:{number}")
                self.ulmfit(*RUN, f"--output={run}")
                what = f"killed {when} call {number}, {call} of {path}"
                self.assert_like_whole(run, what)
                self.assertEqual(self.checkpoints(run), self.checkpoints("whole"), what)
                kills += 1
        print(f"\n{kills} kills at {len(self.third_save())} calls of a save: the same bits each time")


class Failed(Save):
    def test_each_call_of_a_save_may_fail(self):
        save = self.third_save()
        for number, call, path in self.chosen(save, 23):
            run = f"failed-{number}"
            result = self.shimmed(run, expect=0, fail=f"{number}:{number}")
            what = f"failed call {number}, {call} of {path}"
            self.assert_like_whole(run, what)
            self.assertEqual([name for name in self.checkpoints(run) if not name.startswith("step-")], [], what)
            if call in ("mkdir", "open", "write", "fsync", "rename") and "step-000000010" not in path:
                self.assertIn("No space left on device", result.stderr, what)

    def test_a_full_disk_during_one_save_and_to_the_end(self):
        save = self.third_save()
        result = self.shimmed("one", expect=0, fail=f"{save[0][0]}:{save[-1][0]}")
        self.assertRegex(result.stderr, "checkpoint of step 30 not saved: .*No space left on device; the run goes on")
        result = self.shimmed("all", expect=0, fail=f"2:{10**9}")  # 1 makes the folder
        for step in (10, 20, 30, 40):
            self.assertIn(f"checkpoint of step {step} not saved", result.stderr)
        self.assert_same_weights("all/stage/model.safetensors", "whole/stage/model.safetensors")
        self.assertEqual(self.told("all"), self.told("whole"))
        self.assertEqual(self.checkpoints("all"), [])

    def test_reports_that_could_not_be_written_leave_no_half_lines(self):
        """The whole disk is full for a while: training goes on; what was told before and after stays readable."""
        for folder in ("metrics.jsonl", "tensorboard/"):
            run = f"full-{folder.strip('/')}"
            self.shimmed(run, folder=folder, expect=0, fail="3:6")
            self.assert_same_weights(f"{run}/stage/model.safetensors", "whole/stage/model.safetensors")
            self.assertLessEqual({m["step"] for m in self.metrics(run)}, {m["step"] for m in self.metrics("whole")})
            if folder == "tensorboard/":
                self.assertEqual(self.events(run), self.events("whole"))


if __name__ == "__main__":
    unittest.main()
