#include "study/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/file_lock.h"
#include "base/stop_signal.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::study {
namespace {

using ::testing::HasSubstr;

// Cells whose command is a shell script, in which $2 is --config=FOLDER/cells/NAME/pipeline.cfg.
class Work : public ::testing::Test {
 protected:
  Work() {
    for (const Cell& cell : cells_) make_directories(folder_.cell(cell.name));
  }
  WorkerEnd work(const std::string& script) {
    return study::work(
        folder_, cells_,
        {.launcher = {"sh", "-c", "cell=$(basename $(dirname ${2#*=})); " + script}, .place = {}, .patience = patience_});
  }
  State state(const std::string& cell) { return states_of(cells_, folder_.records(cells_)).at(cell); }
  std::string ran() { return fs::exists(dir_ / "ran") ? read_file(dir_ / "ran") : ""; }

  test::TempDir dir_;
  double patience_ = 10;
  const StudyFolder folder_{dir_.path()};
  const std::string note_ = "echo $cell >> " + (dir_ / "ran").string() + "; ";
  const std::vector<Cell> cells_{{.name = "texts", .needs = {}},
                                 {.name = "lm", .needs = {"texts"}},
                                 {.name = "supervised", .needs = {"lm"}},
                                 {.name = "scratch", .needs = {"texts"}}};
};

TEST_F(Work, RunsEachCellOnceInOrderAndKeepsWhatItSays) {
  EXPECT_EQ(work(note_ + "echo printed; echo said >&2"), WorkerEnd::kAllEnded);
  EXPECT_EQ(ran(), "texts\nlm\nsupervised\nscratch\n");
  EXPECT_EQ(read_file(folder_.cell("lm") / "output.jsonl"), "printed\n");
  EXPECT_EQ(read_file(folder_.cell("lm") / "log.txt"), "said\n");
  EXPECT_EQ(work(note_), WorkerEnd::kAllEnded);
  EXPECT_EQ(ran(), "texts\nlm\nsupervised\nscratch\n") << "what is done is not run again";
}

TEST_F(Work, ABrokenCellIsRecordedAndTheOthersGoOn) {
  const std::string script = note_ + "[ $cell != lm ] || { echo '12:00:01 [run] no such file\n  of mine' >&2; exit 3; }";
  EXPECT_EQ(work(script), WorkerEnd::kAllEnded);
  EXPECT_EQ(ran(), "texts\nlm\nscratch\n");
  EXPECT_EQ(state("lm"), State::kBroken);
  EXPECT_EQ(folder_.record("lm").exit_code, 3);
  EXPECT_EQ(folder_.record("lm").message, "[run] no such file   of mine");
  EXPECT_EQ(state("supervised"), State::kBlocked);
  EXPECT_EQ(work(note_ + "echo mended"), WorkerEnd::kAllEnded);
  EXPECT_EQ(ran(), "texts\nlm\nscratch\nlm\nsupervised\n") << "another start tries it again";
  EXPECT_EQ(state("supervised"), State::kDone);
}

TEST_F(Work, AKilledCellTellsBySignal) {
  EXPECT_EQ(work("[ $cell != texts ] || { echo '12:00:01 [train] step 5' >&2; kill -9 $$; }"), WorkerEnd::kAllEnded);
  EXPECT_EQ(folder_.record("texts").exit_code, 128 + 9);
  EXPECT_THAT(folder_.record("texts").message, HasSubstr("ended by signal 9; before that: [train] step 5"));
  EXPECT_EQ(state("scratch"), State::kBlocked);
}

TEST_F(Work, ACellThatWasStoppedStopsTheWorkerAndGoesOn) {
  EXPECT_EQ(work(note_ + "[ $cell != lm ] || exit 75"), WorkerEnd::kStopped);
  EXPECT_EQ(state("lm"), State::kStopped);
  EXPECT_EQ(work(note_), WorkerEnd::kAllEnded);
  EXPECT_EQ(ran(), "texts\nlm\nlm\nsupervised\nscratch\n");
}

TEST_F(Work, TwoWorkersShareTheCells) {
  std::vector<WorkerEnd> ends(2);
  {
    std::jthread other([&] { ends[0] = work(note_ + "sleep 0.2"); });
    ends[1] = work(note_ + "sleep 0.2");
  }
  EXPECT_THAT(ends, ::testing::Contains(WorkerEnd::kAllEnded));
  std::vector<std::string> lines = read_lines(dir_ / "ran");
  std::sort(lines.begin(), lines.end());
  EXPECT_EQ(lines, (std::vector<std::string>{"lm", "scratch", "supervised", "texts"}));
}

TEST_F(Work, ACellThatAnotherProcessHoldsIsLeftToIt) {
  const auto lock = std::make_unique<FileLock>(folder_.cell("scratch") / ".lock");
  patience_ = 0;
  EXPECT_EQ(work(note_), WorkerEnd::kOthersWork);
  EXPECT_EQ(ran(), "texts\nlm\nsupervised\n");
}

TEST_F(Work, WhatStopsWhileItWaitsForOthersTellsJobScriptsNotOfNoProgress) {
  const FileLock others(folder_.cell("texts") / ".lock");
  const fs::path stops = dir_ / "stops";
  ::setenv("ULMFIT_STOP_FILE", stops.c_str(), 1);
  const auto stopped = [&] {  // a process stops once
    const StopSignalScope scope(false);
    std::jthread limit([] {
      std::this_thread::sleep_for(std::chrono::seconds(3));  // it has looked at all cells by then
      ::kill(::getpid(), SIGUSR2);
    });
    std::_Exit(work(note_) == WorkerEnd::kStopped ? 75 : 1);
  };
  for (int start = 0; start < 2; ++start) EXPECT_EXIT(stopped(), ::testing::ExitedWithCode(75), "");
  ::unsetenv("ULMFIT_STOP_FILE");
  const std::vector<std::string> lines = read_lines(stops);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_THAT(lines[0], HasSubstr("while others run what it waits for"));
  EXPECT_NE(lines[0], lines[1]);
}

TEST_F(Work, CellsRunInTheStudysFolder) {
  EXPECT_EQ(work("pwd -P; echo ${2#*=}"), WorkerEnd::kAllEnded);
  EXPECT_EQ(read_lines(folder_.cell("lm") / "output.jsonl"),
            (std::vector<std::string>{fs::canonical(dir_.path()).string(), "cells/lm/pipeline.cfg"}));
}

TEST_F(Work, WhatOthersTryAgainIsNotEnded) {
  EXPECT_EQ(work("[ $cell != lm ] || exit 3"), WorkerEnd::kAllEnded);
  const FileLock lock(folder_.cell("lm") / ".lock");
  patience_ = 0;
  std::jthread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    folder_.keep("lm", {.state = State::kDone});
  });
  EXPECT_EQ(work(note_), WorkerEnd::kAllEnded);
  EXPECT_EQ(ran(), "supervised\n");
}

TEST_F(Work, CheckpointsOfWhatIsDoneAreRemoved) {
  make_directories(folder_.cell("texts") / "lm" / "checkpoints" / "step-1");
  make_directories(folder_.cell("lm") / "lm" / "checkpoints" / "step-1");
  EXPECT_EQ(work("[ $cell != lm ] || exit 1"), WorkerEnd::kAllEnded);
  EXPECT_FALSE(fs::exists(folder_.cell("texts") / "lm" / "checkpoints"));
  EXPECT_TRUE(fs::exists(folder_.cell("lm") / "lm" / "checkpoints"));
}

TEST_F(Work, WhatCannotBeStartedIsAnErrorOfTheCall) {
  EXPECT_THROW(study::work(folder_, cells_, {.launcher = {"no-such-launcher"}, .place = {}}), ConfigError);
  EXPECT_EQ(state("texts"), State::kOpen);
}

TEST(CoresOf, AreDealtOutUnlessTheLauncherHasDoneIt) {
  const std::vector<int> eight{0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(cores_of({.rank = 0, .size = 1}, eight, 8), std::vector<int>());
  EXPECT_EQ(cores_of({.rank = 0, .size = 2}, eight, 8), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(cores_of({.rank = 1, .size = 2}, eight, 8), (std::vector<int>{4, 5, 6, 7}));
  EXPECT_EQ(cores_of({.rank = 2, .size = 3}, eight, 8), (std::vector<int>{5, 6, 7}));
  EXPECT_EQ(cores_of({.rank = 1, .size = 2}, {4, 5, 6, 7}, 8), std::vector<int>()) << "bound already";
  EXPECT_EQ(cores_of({.rank = 2, .size = 4}, {0, 1}, 2), (std::vector<int>{1})) << "more workers than cores";
  EXPECT_EQ(cores_of({.rank = 1, .size = 4}, {3}, 1), std::vector<int>());
}

TEST(GpuOf, IsOneOfThoseThatTheWorkerSees) {
  EXPECT_EQ(gpu_of({.rank = 1, .size = 2}, nullptr, 0), std::nullopt);
  EXPECT_EQ(gpu_of({.rank = 1, .size = 2}, nullptr, 1), std::nullopt);
  EXPECT_EQ(gpu_of({.rank = 1, .size = 2}, nullptr, 4), "1");
  EXPECT_EQ(gpu_of({.rank = 5, .size = 8}, nullptr, 4), "1");
  EXPECT_EQ(gpu_of({.rank = 1, .size = 2}, "4,GPU-7f", 2), "GPU-7f");
  EXPECT_EQ(gpu_of({.rank = 1, .size = 2}, "6", 1), std::nullopt);
}

TEST(LastMessage, IsThatOfTheProgramAndNotOfItsLauncher) {
  EXPECT_EQ(last_message(""), "");
  EXPECT_EQ(last_message("terminate called\nAborted\n"), "Aborted");
  EXPECT_EQ(last_message("-----\nThere are not enough slots\n\nfor ulmfit\n-----\n \n"),
            "There are not enough slots for ulmfit");
  EXPECT_EQ(last_message("10:00:00 [run] stage pretrain\n10:00:02 [run] cannot read x:\n  expected y\n"),
            "[run] cannot read x:   expected y");
  EXPECT_EQ(last_message("10:00:02 [0] [comm] rank 1 is lost\n-----\nmpirun detected that one or more processes\n-----\n"),
            "[0] [comm] rank 1 is lost");
}

}  // namespace
}  // namespace ulmfit::study
