"""The Slurm scripts on a real Slurm: time limits, requeues, stages as dependent jobs."""
import tempfile
import unittest
from pathlib import Path

from tests.end_to_end.pipeline_test import PIPELINE
from tests.support.slurm import SlurmCluster
from tests.support.ulmfit import BINARY, TestCase, labelled_rows, sentences, study_results, wait_for, write_csv

SOURCE = Path(__file__).resolve().parents[2]
SCRIPTS = SOURCE / "cluster/slurm"
TWO_NODES = ["--nodes=2", "--ntasks-per-node=1"]
SECONDS_OF_TRAINING = 130  # Slurm's signal comes 15 to 45 s after a start: two requeues are sure from 90 on


class Slurm(TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="ulmfit-slurm-")
        self.addCleanup(folder.cleanup)
        self.slurm = SlurmCluster(folder.name)
        self.addCleanup(self.slurm.stop)

    def pretrain(self, steps):
        return ["--corpus=corpus", "--model.embedding=96", "--model.hidden=160", "--model.layers=2", "--train.streams=16",
                "--train.bptt=35", "--train.epochs=100000", f"--train.steps={steps}", "--log.every=10", "--checkpoint.every=100000",
                "--train.threads=1"]

    def submit(self, *arguments, **environment):
        environment = {"ULMFIT": BINARY, "ULMFIT_HOME": str(SOURCE), "OMP_NUM_THREADS": "1", **environment}
        return self.slurm.run(*arguments, cwd=self.dir, **environment)

    def log_of(self, job):
        return "".join(p.read_text(errors="replace") for p in self.dir.glob(f"*-{job}.log"))

    def wait_for_steps(self, job, output):
        """Until the job has reported a step since its last start."""
        begun = self.metrics_lines(output)
        ready = wait_for(lambda: self.metrics_lines(output) > begun, seconds=90)
        self.assertTrue(ready, f"no step of job {job}\n{self.log_of(job)}")

    def metrics_lines(self, output):
        path = self.dir / output / "metrics.jsonl"
        return path.read_text().count('"train"') if path.exists() else 0

    def assert_ends_like(self, job, output, whole, requeues):
        ended = self.slurm.wait_for_job(job)
        self.assertEqual((ended["JobState"], ended["ExitCode"]), ("COMPLETED", "0:0"), self.log_of(job))
        self.assertGreaterEqual(int(ended["Restarts"]), requeues, self.log_of(job))
        self.assert_same_weights(f"{output}/stage/model.safetensors", f"{whole}/stage/model.safetensors")
        for kind in ("train", "valid"):
            told = [[(m["step"], m["loss"]) for m in self.metrics(run, kind)] for run in (output, whole)]
            self.assertEqual(told[0], told[1])


class Requeue(Slurm):
    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(4000)))
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.05")

    def test_time_limits_requeue_until_done(self):
        trial = 200
        self.ulmfit("pretrain", *self.pretrain(trial), "--output=trial", ranks=2)
        steps = int(SECONDS_OF_TRAINING / self.metrics("trial")[-1]["elapsed_s"] * trial)
        job = self.submit("sbatch", "--parsable", *TWO_NODES, "--time=1", "--signal=B:USR2@15", SCRIPTS / "pretrain.sbatch",
                          *self.pretrain(steps), "--output=cut").strip()
        self.slurm.wait_for_job(job, seconds=1200)
        self.ulmfit("pretrain", *self.pretrain(steps), "--output=whole", ranks=2)
        self.assert_ends_like(job, "cut", "whole", requeues=2)
        self.assertIn("start 3", self.log_of(job))

    def test_srun_starts_the_ranks_too(self):
        self.ulmfit("pretrain", *self.pretrain(400), "--output=whole", ranks=2)
        job = self.submit("sbatch", "--parsable", *TWO_NODES, SCRIPTS / "pretrain.sbatch", *self.pretrain(400), "--output=cut",
                          ULMFIT_LAUNCHER="srun").strip()
        self.wait_for_steps(job, "cut")
        self.slurm.run("scancel", "--signal=USR2", "--batch", job)
        self.assert_ends_like(job, "cut", "whole", requeues=1)

    def test_a_cancelled_job_stays_cancelled_and_its_run_goes_on_by_the_same_command(self):
        self.ulmfit("pretrain", *self.pretrain(400), "--output=whole", ranks=2)
        command = ["sbatch", "--parsable", *TWO_NODES, SCRIPTS / "pretrain.sbatch", *self.pretrain(400), "--output=cut"]
        job = self.submit(*command).strip()
        self.wait_for_steps(job, "cut")
        self.slurm.run("scancel", job)
        self.assertEqual(self.slurm.wait_for_job(job)["JobState"], "CANCELLED")
        self.assertTrue(wait_for(lambda: not self.slurm.run("squeue", "-h").strip(), seconds=60), self.log_of(job))
        self.assertEqual(self.slurm.job(job)["JobState"], "CANCELLED", "requeued after scancel")
        self.assert_ends_like(self.submit(*command).strip(), "cut", "whole", requeues=0)


class Pipeline(Slurm):
    def setUp(self):
        super().setUp()
        (self.dir / "general").write_text("\n".join(sentences(4000)))
        (self.dir / "more").write_text("\n".join(sentences(500, seed=4)))
        write_csv(self.dir / "train.csv", labelled_rows(600))
        write_csv(self.dir / "test.csv", labelled_rows(150, seed=5))

    def submit_pipeline(self, text, all_jobs="--time=30", *options):
        """(section, job) of each job."""
        (self.dir / "pipeline.cfg").write_text(text)
        told = self.submit(SCRIPTS / "pipeline.sh", "--all", all_jobs, *options, "--on", "pretrain", " ".join(TWO_NODES), "pipeline.cfg")
        return [line.split(": job ") for line in told.splitlines()]

    def test_stages_as_dependent_jobs_with_a_requeue_between(self):
        jobs = dict(self.submit_pipeline(PIPELINE.replace("epochs = 2", "epochs = 4\nlog.every = 1", 1)))
        self.assertEqual(list(jobs), ["prepare-corpus", "pretrain", "prepare-labelled", "finetune-lm", "train-classifier",
                                      "evaluate"])
        self.wait_for_steps(jobs["pretrain"], "general-lm")
        self.slurm.run("scancel", "--signal=USR2", "--batch", jobs["pretrain"])
        for stage, job in jobs.items():
            ended = self.slurm.wait_for_job(job)
            self.assertEqual(ended["JobState"], "COMPLETED", f"{stage}\n{self.log_of(job)}")
            if stage == "pretrain":
                self.assertEqual(ended["Restarts"], "1", "it was requeued, and the jobs behind it waited")
        self.assertIn('"error"', self.log_of(jobs["evaluate"]))
        self.assertTrue((self.dir / "classifier/stage/MANIFEST.json").exists())

    def test_where_jobs_may_not_be_requeued_a_chain_goes_on(self):
        jobs = self.submit_pipeline(PIPELINE.replace("epochs = 2", "epochs = 4\nlog.every = 1", 1), "--time=30 --no-requeue", "--chain", "2")
        self.assertEqual([section for section, _ in jobs],
                         ["prepare-corpus", "pretrain", "pretrain", "prepare-labelled", "finetune-lm", "finetune-lm", "train-classifier",
                          "train-classifier", "evaluate"])
        stopped = jobs[1][1]
        self.wait_for_steps(stopped, "general-lm")
        self.slurm.run("scancel", "--signal=USR2", "--batch", stopped)
        for section, job in jobs:
            ended = self.slurm.wait_for_job(job)
            expected = ("FAILED", "75:0") if job == stopped else ("COMPLETED", "0:0")
            self.assertEqual((ended["JobState"], ended["ExitCode"]), expected, f"{section}\n{self.log_of(job)}")
        self.assertIn("cannot requeue this job", self.log_of(stopped))
        self.assertTrue((self.dir / "classifier/stage/MANIFEST.json").exists())

    def test_a_failed_stage_cancels_those_behind_it(self):
        for options in ([], ["--chain", "2"]):
            jobs = self.submit_pipeline(PIPELINE.replace("input = general", "input = no-such-file"), "--time=30", *options)
            self.assertEqual(self.slurm.wait_for_job(jobs[0][1])["ExitCode"], "3:0")
            self.assertIn("no-such-file", self.log_of(jobs[0][1]))
            for stage, job in jobs[1:]:
                self.assertEqual(self.slurm.wait_for_job(job)["JobState"], "CANCELLED", stage)


class StudyArray(Slurm):
    def setUp(self):
        super().setUp()
        write_csv(self.dir / "train.csv", labelled_rows(140, seed=2))
        write_csv(self.dir / "test.csv", labelled_rows(60, seed=3))
        (self.dir / "general").write_text("\n".join(sentences(300, seed=5)))
        self.ulmfit("prepare-corpus", "--input=general", "--output=corpus")
        self.ulmfit("pretrain", "--corpus=corpus", "--output=general-lm", "--model.embedding=24", "--model.hidden=32", "--model.layers=2",
                    "--train.streams=8", "--train.bptt=20", "--train.threads=1")

    def test_tasks_share_a_study_and_each_goes_on_after_a_requeue(self):
        study = ["study", "low-shot", "--train=train.csv", "--test=test.csv", "--from=general-lm", "--labels=12,24", "--seeds=2",
                 "--train.threads=1"]
        self.ulmfit(*study, "--output=whole")
        job = self.submit("sbatch", "--parsable", "--array=1-2", SCRIPTS / "stage.sbatch", *study, "--output=shared").strip()
        at_work = wait_for(lambda: list(self.dir.glob("shared/cells/*/classifier/metrics.jsonl")), seconds=120)
        self.assertTrue(at_work, self.log_of("*"))
        self.slurm.run("scancel", "--signal=USR2", "--batch", f"{job}_1")
        ended = [self.slurm.wait_for_job(f"{job}_{task}") for task in (1, 2)]
        self.assertEqual([(task["JobState"], task["ExitCode"]) for task in ended], [("COMPLETED", "0:0")] * 2, self.log_of("*"))
        self.assertEqual(ended[0]["Restarts"], "1", self.log_of("*"))
        self.assertEqual(study_results(self.dir / "shared"), study_results(self.dir / "whole"))


if __name__ == "__main__":
    unittest.main()
