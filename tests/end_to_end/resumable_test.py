"""cluster/slurm/resumable.sh with a scontrol and an ulmfit of ours: when a job goes back into the queue, and when not."""
import os
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from tests.support.ulmfit import wait_for

SCRIPT = Path(__file__).resolve().parents[2] / "cluster/slurm/resumable.sh"
# Told to stop it says what LINE has, if anything, and ends with CODE.
ULMFIT = """#!/usr/bin/env bash
echo "$@" >> began
trap 'case $LINE in "") ;; REMOVE) rm "$ULMFIT_STOP_FILE" ;; *) echo "$LINE" >> "$ULMFIT_STOP_FILE" ;; esac; exit $CODE' USR2
[ "$WAIT" = yes ] || exit $CODE
touch ready
while :; do sleep 0.02; done
"""
# What Slurm does: the requeue ends the batch script.
SCONTROL = """#!/usr/bin/env bash
echo "$@" >> requeued
[ "$SCONTROL_FAILS" = no ] || exit 1
kill -KILL $PPID
"""


class Resumable(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ulmfit-resumable-")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        for name, text in (("ulmfit", ULMFIT), ("scontrol", SCONTROL)):
            (self.dir / name).write_text(text)
            (self.dir / name).chmod(0o755)

    def job(self, *options, start=0, code=75, line="stopped after saving, step 7 of x", stop=signal.SIGUSR2, scontrol_fails="no"):
        """One start of the job; its exit code, whether it was requeued, and what it said."""
        for left in ("ready", "requeued"):
            (self.dir / left).unlink(missing_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
        environment |= {"PATH": f"{self.dir}:{os.environ['PATH']}", "SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": str(start),
                        "ULMFIT": str(self.dir / "ulmfit"), "CODE": str(code), "LINE": line, "WAIT": "yes" if stop else "no",
                        "SCONTROL_FAILS": scontrol_fails}
        process = subprocess.Popen([SCRIPT, "pretrain", *options], cwd=self.dir, env=environment, stderr=subprocess.PIPE, text=True)
        if stop and not any(o.startswith("--restart") for o in options):
            self.assertTrue(wait_for((self.dir / "ready").exists))
            process.send_signal(stop)
        _, told = process.communicate(timeout=30)
        return process.returncode, (self.dir / "requeued").exists(), told

    def test_what_was_saved_goes_on_whatever_the_exit_code(self):
        for code in (75, 1, 137, 4):
            _, requeued, told = self.job(code=code)
            self.assertTrue(requeued, told)
            self.assertIn(f"stopped after saving, step 7 of x (exit code {code})", told)
        self.assertEqual((self.dir / "began").read_text(), "pretrain\n" * 4)

    def test_what_saved_nothing_does_not(self):
        for code in (4, 75, 140, 1):  # 4: it could not save; 140: prepare-labelled, which has nothing to save
            returned, requeued, told = self.job(code=code, line="")
            self.assertEqual((returned, requeued), (code, False), told)
            self.assertIn("it has saved nothing", told)

    def test_a_file_that_was_taken_away_tells_of_no_stop(self):
        returned, requeued, told = self.job(code=3, line="REMOVE")
        self.assertEqual((returned, requeued), (3, False), told)
        self.job()
        returned, requeued, told = self.job(start=1, code=3, line="REMOVE")
        self.assertEqual((returned, requeued), (3, False), told)

    def test_an_old_line_does_not_count(self):
        self.job(start=0)
        returned, requeued, told = self.job(start=1, code=4, line="")
        self.assertEqual((returned, requeued), (4, False), told)

    def test_what_ends_by_itself_is_not_requeued(self):
        for code in (0, 3, 6):
            returned, requeued, told = self.job(code=code, stop=None)
            self.assertEqual((returned, requeued), (code, False), told)
        self.assertIn("ended with exit code 6", told)

    def test_three_stops_at_one_step_end_it(self):
        for start in range(2):
            self.assertTrue(self.job(start=start)[1])
        returned, requeued, told = self.job(start=2)
        self.assertEqual((returned, requeued), (75, False), told)
        self.assertIn("raise --time", told)

    def test_steps_between_stops_are_progress(self):
        for start, step in enumerate((7, 7, 8, 8, 9)):
            self.assertTrue(self.job(start=start, line=f"stopped after saving, step {step} of x")[1], step)

    def test_the_stops_of_another_job_of_that_number_are_forgotten(self):
        (self.dir / "ulmfit-12.stops").write_text("stopped after saving, step 7 of x\n" * 2)
        self.assertTrue(self.job(start=0)[1])

    def test_a_cancelled_job_stays_cancelled(self):
        returned, requeued, told = self.job(stop=signal.SIGTERM)
        self.assertEqual((returned, requeued), (75, False), told)

    def test_where_requeue_is_forbidden_it_says_how_to_go_on(self):
        returned, requeued, told = self.job(scontrol_fails="yes")
        self.assertEqual(returned, 75)
        self.assertTrue(requeued, "tried")
        self.assertIn("cannot requeue this job: submit the same command again", told)

    def test_done_leaves_no_file(self):
        self.job(code=0)
        self.assertFalse((self.dir / "ulmfit-12.stops").exists())

    def test_what_would_begin_anew_at_each_start_is_refused(self):
        for option in ("--restart", "--restart=true", "--restart-from=pretrain"):
            returned, requeued, told = self.job(option)
            self.assertEqual((returned, requeued), (2, False), told)
            self.assertIn("would begin anew at every start", told)
        self.assertFalse((self.dir / "began").exists())

    def test_a_folder_that_cannot_be_written_is_told_before_the_start(self):
        (self.dir / "ulmfit-12.stops").mkdir()
        returned, requeued, told = self.job(start=1, stop=None)
        self.assertEqual((returned, requeued), (2, False), told)
        self.assertIn("cannot write", told)


if __name__ == "__main__":
    unittest.main()
