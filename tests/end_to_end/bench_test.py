"""Every benchmark runs at a small size and says what it promises. Speed itself is not judged: the machine is shared."""
import json
import subprocess

from tests.support.ulmfit import BINARY, TestCase, environment

MODEL = ["--model.embedding=12", "--model.hidden=16", "--model.layers=2", "--train.threads=1"]


class Bench(TestCase):
    def bench(self, *arguments, ranks=1):
        result = self.ulmfit("bench", *arguments, ranks=ranks)
        lines = result.stdout.splitlines()
        self.assertEqual(len(lines), 1, "one JSON line on standard output")
        line = json.loads(lines[0])
        self.assertEqual(line["bench"], arguments[0])
        return line, result.stderr

    def assert_spread(self, line, name):
        self.assertGreater(line[name + "_lowest"], 0)
        self.assertLessEqual(line[name + "_lowest"], line[name])
        self.assertLessEqual(line[name], line[name + "_highest"])

    LM = ["lm", *MODEL, "--vocab=200", "--streams=8", "--bptt=10", "--blocks=3", "--block=2"]

    def test_lm_beside_the_plain_loop(self):
        line, table = self.bench(*self.LM, "--plain")
        for name in ("tokens_per_s", "plain_tokens_per_s", "over_plain"):
            self.assert_spread(line, name)
        self.assertAlmostEqual(line["loss"], line["plain_loss"], delta=0.15)
        self.assertAlmostEqual(sum(line["phases"].values()), 1, places=3)
        self.assertLess({"head and loss", "LSTM backward", "optimizer", "data", "norm and clip"}, set(line["phases"]))
        self.assertGreater(line["share_of_peak"], 0)
        self.assertNotIn("peak_memory_mb", line, "the plain loop's memory would count")
        self.assertIn("over the plain loop", table)

    def test_lm_with_approximate_softmaxes(self):
        for kind, more in (("adaptive", ("--softmax.cutoffs=50",)), ("sampled", ("--softmax.samples=60",))):
            line, table = self.bench(*self.LM, f"--softmax.kind={kind}", *more)
            self.assertEqual(line["softmax"], kind)
            self.assertIn(f"({kind} softmax)", table)
            self.assert_spread(line, "tokens_per_s")

    def test_lm_on_two_ranks(self):
        line, _ = self.bench(*self.LM, ranks=2)
        self.assertEqual(line["ranks"], 2)
        self.assertGreater(line["phases"]["all-reduce"], 0)

    DOCUMENTS = [*MODEL, "--vocab=200", "--documents=24", "--length=30", "--batch-size=8", "--bpt3c.window=10"]

    def test_classifier(self):
        line, _ = self.bench("classifier", *self.DOCUMENTS, "--blocks=2")
        self.assert_spread(line, "docs_per_s")
        self.assertEqual(line["documents"], 24)
        self.assertGreater(line["phases"]["LSTM backward"], 0)

    def test_lm_tells_its_memory_where_nothing_else_runs(self):
        line, _ = self.bench(*self.LM)
        self.assertGreater(line["peak_memory_mb"], 10)

    def test_predict_on_one_rank_and_two(self):
        for ranks in (1, 2):
            line, _ = self.bench("predict", *self.DOCUMENTS, "--blocks=2", ranks=ranks)
            self.assert_spread(line, "docs_per_s")
            self.assertEqual(line["ranks"], ranks)

    def test_rnn(self):
        line, table = self.bench("rnn", "--widths", "8", "12", "--columns", "2", "4", "--bptt=5", "--repeats=3")
        self.assertEqual([(size["width"], size["columns"]) for size in line["sizes"]], [(8, 2), (8, 4), (12, 2), (12, 4)])
        for size in line["sizes"]:
            self.assert_spread(size, "forward_us")
            self.assert_spread(size, "forward_backward_us")
            self.assertGreater(size["share_of_peak"], 0)
            self.assertNotIn("apart_forward_call_us", size, "of GPUs alone")
        self.assertIn("12 wide, 4 columns", table)
        self.assertNotIn("apart", table)
        self.assertIn("outside mpirun", self.ulmfit("bench", "rnn", ranks=2, expect=2).stderr)

    def test_allreduce_fits_its_own_times(self):
        line, _ = self.bench("allreduce", "--max-mb=32", "--train.threads=1", ranks=2)
        self.assertGreater(line["gb_per_s"], 0)
        self.assertGreaterEqual(line["alpha_us"], 0)
        self.assertEqual([entry["bytes"] for entry in line["sizes"]][:2], [1024, 4096])
        self.assertIn("mpirun -n 2", self.ulmfit("bench", "allreduce", expect=2).stderr)

    def test_checkpoint(self):
        line, _ = self.bench("checkpoint", *MODEL, "--vocab=200", "--saves=3", f"--folder={self.dir}")
        self.assert_spread(line, "stall_ms")
        self.assert_spread(line, "copy_ms")
        self.assertGreater(line["state_mb"], 0.01)
        self.assertEqual(list(self.dir.iterdir()), [], "the benchmark's checkpoints are removed")
        self.ulmfit("bench", "checkpoint", "--folder=missing", expect=3)

    def test_refusals(self):
        self.assertIn("one rank", self.ulmfit("bench", *self.LM, "--plain", ranks=2, expect=2).stderr)
        self.assertIn("did you mean lm", self.ulmfit("bench", "lmm", expect=2).stderr)
        self.assertIn("bench BENCHMARK", self.ulmfit("bench", expect=2).stderr)

    def test_a_temporary_folder_that_cannot_be_made_is_told_and_none_is_left(self):
        for folder, message in (("nowhere", "does TMPDIR name one that is there?"), ("here", None)):
            (self.dir / "here").mkdir(exist_ok=True)
            result = subprocess.run([BINARY, "bench", *self.LM], capture_output=True, text=True, cwd=self.dir,
                                    env={**environment(), "TMPDIR": str(self.dir / folder)}, timeout=120)
            self.assertEqual(result.returncode, 3 if message else 0, result.stderr)
            self.assertIn(message or "bench lm", result.stderr)
        self.assertEqual(list((self.dir / "here").iterdir()), [])


class Plan(TestCase):
    def plan(self, *arguments):
        result = self.ulmfit("plan", *arguments)
        return json.loads(result.stdout), result.stderr

    def test_from_given_numbers(self):
        line, table = self.plan("--tokens-per-s=1000000", "--tokens=1e8", "--epochs=2", "--jitter=0", "--gradient-bytes=2")
        rows = {row["ranks"]: row for row in line["rows"]}
        self.assertEqual(rows[1]["efficiency"], 1)
        self.assertAlmostEqual(rows[1]["hours"], 2e8 / 1e6 / 3600, places=9)
        self.assertEqual(rows[8]["batch_tokens"], 8 * 64 * 70)
        self.assertEqual(rows[8]["steps"], 2 * -(-10**8 // (8 * 64 * 70)))
        efficiencies = [row["efficiency"] for row in line["rows"]]
        self.assertEqual(efficiencies, sorted(efficiencies, reverse=True))
        self.assertLess(rows[8]["rank_mb_sharded_optimizer"], rows[8]["rank_mb"])
        self.assertLess(line["worthwhile_ranks"], 1024)
        self.assertIn("the batch is too large", table)

    def test_from_measured_files(self):
        speed = self.ulmfit("bench", *Bench.LM).stdout
        network = self.ulmfit("bench", "allreduce", "--max-mb=32", "--train.threads=1", ranks=2).stdout
        (self.dir / "speed.json").write_text(speed)
        (self.dir / "network.json").write_text(network)
        (self.dir / "nodes.json").write_text(network.replace('"local_ranks":2', '"local_ranks":1'))  # as if of two machines
        line, _ = self.plan("--speed=speed.json", "--allreduce=network.json", "--allreduce-nodes=nodes.json")
        self.assertAlmostEqual(line["rows"][0]["tokens_per_s"], json.loads(speed)["tokens_per_s"], delta=1)
        self.assertEqual(line["rows"][0]["batch_tokens"], 80)
        self.assertGreater(line["optimizer_share"], 0)
        self.assertLess(line["rows"][-1]["efficiency"], 1)

    def test_refusals(self):
        self.assertIn("needs the speed of one rank", self.ulmfit("plan", expect=2).stderr)
        (self.dir / "other.json").write_text("{}")
        self.assertIn("not a result of ulmfit bench lm", self.ulmfit("plan", "--speed=other.json", expect=3).stderr)
        (self.dir / "other.json").write_text('{"bench": 5}')
        self.assertIn("not a result of ulmfit bench lm", self.ulmfit("plan", "--speed=other.json", expect=3).stderr)
        speed = {"bench": "lm", "ranks": 1, "vocab": 100, "embedding": 8, "hidden": 8, "layers": 1, "tokens_per_s": 5.5, "streams": 4, "bptt": 5}
        for key, value in (("ranks", 2), ("ranks", 0), ("tokens_per_s", 0), ("tokens_per_s", None), ("embedding", -40), ("layers", 1.5),
                           ("bptt", "five")):
            (self.dir / "speed.json").write_text(json.dumps({**speed, key: value}))
            refused = self.ulmfit("plan", "--speed=speed.json", expect=3).stderr
            self.assertIn(f"{key} is {json.dumps(value)}, expected", refused)
        network = {"bench": "allreduce", "ranks": 4, "local_ranks": 4, "alpha_us": 5, "gb_per_s": 3.5}
        for option, change, message in (("allreduce", {"gb_per_s": None}, "gb_per_s is null"), ("allreduce", {"alpha_us": -5}, "alpha_us is -5"),
                                        ("allreduce", {"local_ranks": 1}, "--allreduce takes all on one"),
                                        ("allreduce-nodes", {}, "--allreduce-nodes takes one rank on each")):
            (self.dir / "network.json").write_text(json.dumps({**network, **change}))
            self.assertIn(message, self.ulmfit("plan", "--tokens-per-s=1", f"--{option}=network.json", expect=3).stderr)
        self.assertIn("too short for 64 streams", self.ulmfit("plan", "--tokens-per-s=1", "--tokens=100", expect=2).stderr)
        line, _ = self.plan("--tokens-per-s=1000", "--tokens=1000")
        self.assertEqual([row["ranks"] for row in line["rows"]], [1, 2, 4], "with 8 ranks a stream would have one token")
        self.assertEqual([row["steps"] for row in line["rows"]], [14, 14, 14])
        self.assertIn("not a result of ulmfit bench allreduce",
                      self.ulmfit("plan", "--tokens-per-s=1", "--allreduce=other.json", expect=3).stderr)
