#!/usr/bin/env python3
"""Plants violations in a small tree and sees that each is found, and that what is allowed is not."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))
from check_layers import MAY_USE, check  # noqa: E402


class CheckLayers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        for room in MAY_USE:
            (self.root / ("data_prep" if room == "data_prep" else f"src/{room}")).mkdir(parents=True)

    def problems_with(self, path, include):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"// A file.\n#include {include}\n", encoding="utf-8")
        found = check(self.root)
        file.unlink()
        return found

    def assert_refused(self, path, include):
        found = self.problems_with(path, include)
        self.assertEqual(len(found), 1, f"{path} with {include}: {found}")
        self.assertTrue(found[0].startswith(f"{path}:2: "), found[0])

    def test_rooms_do_not_include_upwards(self):
        self.assert_refused("src/base/a.h", '"text/rules.h"')
        self.assert_refused("src/data/a.cpp", '"config/options.h"')
        self.assert_refused("src/model/a.cpp", '"data/shard_reader.h"')
        self.assert_refused("src/model/a.cpp", '"optim/optimizer.h"')
        self.assert_refused("src/train/a.cpp", '"config/options.h"')
        self.assert_refused("src/train/a.cpp", '"stages/pretrain.h"')
        self.assert_refused("src/stages/a.cpp", '"commands/predict.h"')
        self.assert_refused("data_prep/a.cpp", '"train/trainer.h"')
        self.assert_refused("src/base/a.cpp", '"tests/support/temp_dir.h"')

    def test_rooms_include_downwards(self):
        for path, include in [("src/train/a.cpp", '"data/shard_reader.h"'), ("src/model/a.cpp", '"optim/param_groups.h"'),
                              ("src/commands/main/a.cpp", '"stages/pretrain.h"'), ("data_prep/a.cpp", '"data/shard_writer.h"'),
                              ("src/text/a.cpp", '"text/rules.h"'), ("tests/unit/base/a_test.cpp", '"train/trainer.h"')]:
            self.assertEqual(self.problems_with(path, include), [])

    def test_outside_libraries_stay_in_their_room(self):
        for include in ["<mpi.h>", "<nccl.h>", "<hdf5.h>", '"H5public.h"', "<boost/program_options.hpp>", "<spdlog/spdlog.h>"]:
            self.assert_refused("src/train/a.cpp", include)
        self.assert_refused("src/comm/a.cpp", "<nccl.h>")
        self.assert_refused("src/data/a.cpp", "<ATen/ATen.h>")
        self.assert_refused("tests/unit/data/a_test.cpp", "<hdf5.h>")
        for path, include in [("src/comm/a.cpp", "<mpi.h>"), ("src/comm/nccl/a.cpp", "<nccl.h>"), ("src/data/a.h", "<hdf5.h>"),
                              ("tests/support/a.h", "<hdf5.h>"), ("src/config/a.cpp", "<boost/program_options/parsers.hpp>"),
                              ("src/base/a.cpp", "<spdlog/spdlog.h>"), ("src/model/a.h", "<ATen/ATen.h>")]:
            self.assertEqual(self.problems_with(path, include), [])

    def test_top_level_is_fixed(self):
        (self.root / ".gitignore").write_text("/build-*/\n", encoding="utf-8")
        (self.root / "build-asan").mkdir()
        (self.root / "scripts").mkdir()
        self.assertEqual(check(self.root), ["scripts: unexpected at the top level"])

    def test_an_unknown_room_is_reported(self):
        (self.root / "src/util").mkdir()
        self.assertEqual(len(check(self.root)), 1)


if __name__ == "__main__":
    unittest.main()
