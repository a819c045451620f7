"""tests/gpu/run without a GPU: what runs, what is refused, what is told. Programs are shell scripts of this test."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import first_contact
import slim_nccl


RESUMED = "resumed with --reproducible: same bits"
# Goes on from the newest checkpoint, and writes a stage of the same bits.
PRETRAIN = """
  ls run/checkpoints 2> /dev/null | tail -n 1 | sed "s/step-0*/continuing from the checkpoint of step /"
  mkdir -p run/stage run/checkpoints/step-000000020 run/checkpoints/step-000000030 run/checkpoints/step-000000040
  echo weights > run/stage/model.safetensors"""


class FirstContact(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.build, self.bin, self.output = self.root / "build", self.root / "path", self.root / "out"
        for parent in (self.build / "tests/distributed", self.bin):
            parent.mkdir(parents=True)
        self.script(self.build / "ulmfit", 'case $1 in --version) echo "ulmfit 1" ;; prepare-corpus) ;; '
                    f'pretrain) {PRETRAIN} ;; '
                    '*) echo \'{"tokens_per_s": 1234, "loss": 5.0, "over_plain": 1.5, "gpu": "G", "other": 1}\' ;; esac')
        tests = 'case "$*" in *--gtest_list_tests*) printf "Suite.\\n  One\\n  Two\\n" ;; *SameBits*) echo "[  PASSED  ] 1 test." ;; ' \
                f'*) echo "[  PASSED  ] {first_contact.GPU_TESTS} tests." ;; esac'
        self.script(self.build / "tests/gpu_test", tests)
        self.script(self.build / "tests/distributed/gpu_ranks_test", tests)
        self.script(self.bin / "mpirun", 'while [ "${1#/}" = "$1" ]; do shift; done; exec "$@"')
        self.script(self.bin / "compute-sanitizer", 'echo "[  PASSED  ] 2 tests."; echo "========= ERROR SUMMARY: 0 errors"')
        self.script(self.bin / "ldd", 'echo "libc.so.6 => /lib/libc.so.6 (0x1)"')
        self.script(self.bin / "nvidia-smi", 'for i in 0 1 2 3; do echo "GPU $i: Made-up"; done')

    @staticmethod
    def script(path, text):
        path.write_text("#!/bin/sh\n" + text + "\n")
        path.chmod(0o755)

    def contact(self, expected):
        environment = {**os.environ, "PATH": f"{self.bin}:/usr/bin:/bin"}
        done = subprocess.run([sys.executable, "-B", HERE / "first_contact.py", "--build", self.build, "--output", self.output],
                              env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        result = json.loads((self.output / "result.json").read_text())
        return {row["name"]: row for row in result["checks"]}, (self.output / "result.txt").read_text()

    def test_all_that_can_run_is_run_and_told(self):
        rows, table = self.contact(0)
        self.assertEqual({row["status"] for name, row in rows.items() if "fastai" not in name}, {"passed"})
        self.assertEqual(rows["tests listed"]["figures"], {"tests": 2})
        self.assertEqual(rows["NCCL, 4 ranks"]["figures"], {"passed": first_contact.GPU_TESTS})
        self.assertEqual(rows["bench lm bf16, 256 streams, 33k words"]["figures"],
                         {"gpu": "G", "tokens_per_s": 1234, "over_plain": 1.5, "loss": 5.0})
        self.assertEqual(rows[RESUMED]["figures"], {"resumed_at_step": 20})
        self.assertEqual(rows["losses agree"]["figures"], {"pairs": 11})
        self.assertEqual(len([name for name in rows if name.startswith("bench lm")]), 14)
        self.assertIn("tokens/s 1,234, over plain 1.5", table)
        self.assertIn("resumed at step 20", table)
        self.assertTrue(list(self.output.glob("*bench-lm-bf16-256-streams-33k-words.log")))

    def test_without_a_gpu_the_reason_is_told(self):
        self.script(self.bin / "nvidia-smi", "exit 9")
        rows, table = self.contact(1)
        self.assertEqual(rows["version"]["status"], "passed")
        self.assertEqual(rows["tests listed"]["status"], "passed")
        for name in ("tests", RESUMED, "NCCL, 2 ranks", "sanitizer, one step", "bench lm fp32, 64 streams, 33k words"):
            self.assertEqual((rows[name]["status"], rows[name]["reason"]), ("not run", "no NVIDIA GPU: nvidia-smi lists none"), name)
        self.assertIn("not run", table)

    def test_a_failure_does_not_stop_the_rest(self):
        self.script(self.build / "tests/gpu_test", 'echo "[  SKIPPED ] 2 tests, listed below:"; echo "[  PASSED  ] 0 tests."')
        self.script(self.bin / "compute-sanitizer", 'echo "========= ERROR SUMMARY: 3 errors"; exit 9')
        (self.build / "tests/distributed/gpu_ranks_test").unlink()
        rows, table = self.contact(1)
        self.assertIn("2 tests skipped", rows["tests"]["reason"])
        self.assertIn("exit code 9", rows["sanitizer, one step"]["reason"])
        self.assertEqual(rows["NCCL, 1 rank"]["status"], "failed")
        self.assertEqual(rows["bench lm fp32, 64 streams, 33k words"]["status"], "passed")
        self.assertIn("failed", table)

    def test_a_check_that_hangs_is_ended_with_all_its_processes(self):
        # As under mpirun, which gives each rank a process group of its own.
        marker = self.root / "late"
        (self.bin / "rank.py").write_text(f"import os, time, pathlib\nos.setpgid(0, 0)\ntime.sleep(3)\npathlib.Path('{marker}').touch()\n")
        self.script(self.bin / "hangs", f"{sys.executable} {self.bin / 'rank.py'} & sleep 60")
        check = first_contact.Check("hangs", 1, [self.bin / "hangs"])
        start = time.monotonic()
        outcome = first_contact.run(check, {}, os.environ, self.root / "log")
        self.assertEqual(outcome.status, "timed out")
        self.assertLess(time.monotonic() - start, 3)
        time.sleep(3)
        self.assertFalse(marker.exists())

    def test_what_comes_after_ten_minutes_is_not_run(self):
        check = first_contact.Check("late", 30, [self.bin / "nvidia-smi"])
        self.assertEqual(first_contact.run(check, {}, os.environ, self.root / "log", most=-1).reason, "the ten minutes are over")
        slow = first_contact.Check("slow", 30, ["sleep", "30"])
        self.assertEqual(first_contact.run(slow, {}, os.environ, self.root / "log", most=0.5).status, "timed out")

    def test_benchmarks_that_say_nothing_or_part_are_failures(self):
        self.script(self.build / "ulmfit", 'case "$*" in *bf16*) echo \'{"tokens_per_s": 9, "loss": 6.0, "gpu": "G"}\' ;; '
                    '*tf32*) echo \'{"tokens_per_s": 9, "loss": null, "gpu": "G"}\' ;; '
                    '*256*) echo \'{"tokens_per_s": 9, "loss": 5.0}\' ;; *) echo \'{"tokens_per_s": 9, "loss": 5.0, "gpu": "G"}\' ;; esac')
        rows, _ = self.contact(1)
        self.assertIn("loss is None", rows["bench lm tf32, 64 streams, 33k words"]["reason"])
        self.assertIn("did not run on a GPU", rows["bench lm fp32, 256 streams, 33k words"]["reason"])
        self.assertIn("6.0000 beside 5.0000", rows["losses agree"]["reason"])

    def test_a_run_that_goes_on_to_other_bits_or_not_at_all_is_a_failure(self):
        programs = {name: self.build / name for name in ("ulmfit", "gpu_test", "gpu_ranks_test", "mpirun")}
        check = next(check for check in first_contact.checks(programs, "", self.root) if check.name == RESUMED)

        def reason(pretrain):
            self.script(programs["ulmfit"], f"case $1 in pretrain) {pretrain} ;; esac")
            shutil.rmtree(self.root / "resumed", ignore_errors=True)
            return first_contact.run(check, {}, os.environ, self.root / "log").reason

        self.assertEqual(reason(PRETRAIN), "")
        self.assertIn("gone on from step 20 it has other bits", reason(PRETRAIN.replace("weights", "$$")))
        self.assertIn("did not go on from a checkpoint", reason(PRETRAIN.replace("continuing", "beginning")))
        self.assertIn("exit code 3", reason("exit 3"))

    def test_ranks_share_a_gpu_only_by_a_new_nccl(self):
        self.script(self.bin / "nvidia-smi", 'echo "GPU 0: Made-up"')
        rows, _ = self.contact(0)  # no library: version 0
        self.assertEqual(rows["NCCL, 1 rank"]["status"], "passed")
        self.assertIn("lets no 2 ranks share 1 GPUs", rows["NCCL, 2 ranks"]["reason"])

    def test_the_number_of_gpu_tests_is_known(self):
        folder = HERE
        count = sum(len(re.findall(r"^TEST_F\(", file.read_text(), re.MULTILINE)) for file in folder.glob("*_test.cpp"))
        self.assertEqual(first_contact.GPU_TESTS, count)

    def test_missing_libraries_are_named(self):
        with self.assertRaisesRegex(first_contact.Wrong, "not found: liba.so, libb.so"):
            first_contact.all_found("\tlibb.so => not found\n\tliba.so => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x1)\n")

    def test_what_is_no_bundle_is_refused(self):
        done = subprocess.run([HERE / "run", self.root], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("is no bundle: it has no programs.tar.xz", done.stderr)

    def test_a_folder_of_other_things_is_not_packed_into(self):
        done = subprocess.run([HERE / "run", "--bundle", self.root], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("is not empty and no bundle", done.stderr)
        self.assertTrue(self.build.exists())


@unittest.skipUnless("ULMFIT_BINARY" in os.environ, "without the program")
class ResumedOnTheCpu(unittest.TestCase):
    """What the program itself says to the script that a GPU is asked by."""

    def test_a_run_ends_with_the_same_bits(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([HERE / "resumed", os.environ["ULMFIT_BINARY"], Path(folder) / "work", "--device=cpu",
                                   "--model.embedding=16", "--model.hidden=24", "--model.layers=2"],
                                  capture_output=True, text=True, timeout=600)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(first_contact.same_bits_again(done.stdout), {"resumed_at_step": 20}, done.stdout)


class SlimNccl(unittest.TestCase):
    """On a made-up section with two containers, one of three architectures."""

    @staticmethod
    def entry(arch, payload):
        return struct.pack("<HHIQ", 2, 0x101, 64, len(payload)) + bytes(12) + struct.pack("<I", arch) + bytes(32) + payload

    @staticmethod
    def container(*entries):
        held = b"".join(entries)
        return struct.pack("<IHHQ", slim_nccl.MAGIC, 1, 16, len(held)) + held

    def section(self):
        return (self.container(self.entry(80, b"a" * 40), self.entry(90, b"b" * 24), self.entry(100, b"c" * 8)) + bytes(8) +
                self.container(self.entry(90, b"d" * 16)))

    def test_keeps_the_code_of_one_architecture_in_its_place(self):
        image = bytearray(b"before  " + self.section() + b"after")
        whole = bytes(image)
        self.assertEqual(slim_nccl.wipe(image, 8, len(self.section()), 90), (40, 48))
        self.assertEqual(len(image), len(whole))
        self.assertEqual(bytes(image), whole.replace(b"a" * 40, bytes(40)).replace(b"c" * 8, bytes(8)))

    def test_keeps_nothing_if_so_told(self):
        image = bytearray(self.section())
        self.assertEqual(slim_nccl.wipe(image, 0, len(image), None), (0, 88))

    def test_an_entry_that_lies_about_its_size_is_refused(self):
        section = bytearray(self.container(self.entry(90, b"b" * 24)))
        struct.pack_into("<Q", section, 16 + 8, 1 << 40)
        with self.assertRaisesRegex(slim_nccl.SlimError, "reaches beyond"):
            slim_nccl.wipe(section, 0, len(section), 80)

    def test_a_library_without_the_architecture_is_refused(self):
        with self.assertRaisesRegex(slim_nccl.SlimError, "no device code for sm_90"), tempfile.TemporaryDirectory() as folder:
            slim_nccl.slim("/bin/true", Path(folder) / "out", 90)


if __name__ == "__main__":
    unittest.main()
