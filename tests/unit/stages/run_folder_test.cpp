#include "stages/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/manifest.h"
#include "comm/solo_communicator.h"
#include "stages/compute.h"
#include "stages/run_identity.h"
#include "stages/run_observer.h"
#include "stages/train_classifier.h"
#include "stages/train_lm.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::stages {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// One command line: options, the set that read them, and what opens the folder.
struct Command {
  RunOptions run;
  OptimOptions optim;
  comm::Facts inputs{{"training text", "as it was"}};
  config::OptionSet set{"pretrain"};
  comm::SoloCommunicator comm{at::Device(at::kCPU)};

  Command(const fs::path& output, std::vector<std::string> arguments) {
    run.declare(set);
    optim.declare(set);
    arguments.push_back("--output=" + output.string());
    set.parse(arguments);
  }
  RunFolder open() { return RunFolder(run, set, inputs, comm); }
  bool done() {
    return nothing_to_do(
        run, "pretrain", set, [this] { return inputs; }, comm);
  }
  std::string refusal() {
    try {
      open();
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "not refused";
  }
};

class RunFolderTest : public ::testing::Test {
 protected:
  void finish_stage() const {
    make_directories(out_ / "stage");
    write_file_atomic(out_ / "stage/stage.json", "{}");
    write_manifest(out_ / "stage");
  }
  test::TempDir dir_;
  fs::path out_ = dir_ / "run";
};

TEST_F(RunFolderTest, KeepsTheResolvedConfigWhichCanBeFedBack) {
  Command first(out_, {"--epochs=5e", "--lr=0.125"});
  EXPECT_EQ(first.open().path(), out_);
  EXPECT_EQ(read_file(out_ / "config.cfg"), first.set.to_config());
  Command again(out_, {"--config=" + (out_ / "config.cfg").string()});
  EXPECT_EQ(again.optim.lr, 0.125);
  EXPECT_EQ(again.set.to_config(), first.set.to_config());
  EXPECT_TRUE(again.open().changes().empty());
  EXPECT_EQ(Command(out_.string() + "/", {"--epochs=5", "--lr=0.125"}).open().path(), out_) << "OUT/ is OUT";
}

TEST_F(RunFolderTest, NamesTheKeysThatDifferAndLetsOthersChange) {
  Command(out_, {"--epochs=5"}).open();
  EXPECT_NO_THROW(Command(out_, {"--epochs=5", "--log.every=7", "--train.threads=3", "--checkpoint.every=9"}).open());
  EXPECT_THAT(Command(out_, {"--epochs=6", "--seed=2"}).refusal(),
              AllOf(HasSubstr("train.seed: 1 in the run folder, 2 now"),
                    HasSubstr("train.epochs: 5 in the run folder, 6 now"), HasSubstr("--restart"), HasSubstr("--extend")));
  EXPECT_THAT(Command(out_, {"--epochs=5", "--seed=2"}).refusal(), Not(HasSubstr("--extend")));
}

TEST_F(RunFolderTest, OnlyWhatLeavesTheResultAloneMayChange) {
  TrainLmOptions lm;
  TrainClassifierOptions classifier;
  config::OptionSet sets[] = {config::OptionSet("finetune-lm"), config::OptionSet("train-classifier")};
  lm.declare_finetune(sets[0]);
  classifier.declare(sets[1]);
  // Paths stand for what they hold, which run.json compares.
  const std::vector<std::string> paths{"output", "corpus", "data", "from"};
  const std::vector<std::string> harmless{
      "device",           "train.threads",    "comm.deadline",         "log.every",
      "checkpoint.every", "checkpoint.keep",  "checkpoint.keep-every", "train.max-streams-per-pass",
      "license",          "train.cuda-graph", "train.streams-per-rank"};  // the latter becomes train.streams
  for (const auto& set : sets) {
    for (const auto& key : set.keys(config::OnResume::kMayChange)) {
      const bool known =
          std::count(paths.begin(), paths.end(), key) + std::count(harmless.begin(), harmless.end(), key) > 0;
      EXPECT_TRUE(known) << key << " may change in a run folder: does it leave the result alone?";
    }
  }
}

TEST_F(RunFolderTest, OtherPrecisionAndOtherInputsAreRefused) {
  Command(out_, {}).open();
  EXPECT_THAT(Command(out_, {"--precision=bf16"}).refusal(), HasSubstr("precision: auto in the run folder, bf16 now"));
  make_directories(out_ / "checkpoints/step-000000001");
  Command other(out_, {});
  other.inputs = {{"training text", "another"}};
  EXPECT_THAT(other.refusal(), HasSubstr("training text: as it was in the run folder, another now"));
  finish_stage();
  EXPECT_TRUE(Command(out_, {}).done());
  EXPECT_THROW(other.done(), RunChanged) << "finished, but of another text";
  other.inputs = {};
  EXPECT_TRUE(other.done()) << "the text of a finished stage may be gone";
}

TEST_F(RunFolderTest, WhatOlderProgramsComputedInByDefaultGoesOn) {
  Command(out_, {"--precision=fp32"}).open();
  Command(out_, {}).open();  // auto
  EXPECT_THAT(Command(out_, {"--precision=auto"}).refusal(), HasSubstr("precision: fp32 in the run folder, auto now"));
  finish_stage();
  EXPECT_TRUE(Command(out_, {}).done());
}

TEST_F(RunFolderTest, AnOmittedOptionIsSaidToBeTheDefault) {
  Command(out_, {"--seed=2"}).open();
  EXPECT_THAT(Command(out_, {}).refusal(), HasSubstr("train.seed: 2 in the run folder, 1 now (not given: the default)"));
}

TEST_F(RunFolderTest, ExtendMayChangeTheLengthAlone) {
  Command(out_, {"--epochs=5"}).open();
  EXPECT_THAT(Command(out_, {"--epochs=9", "--extend", "--seed=2"}).refusal(), HasSubstr("train.seed: 1"));
  EXPECT_THAT(Command(dir_ / "none", {"--extend"}).refusal(), HasSubstr("there is no run"));
  EXPECT_THAT(Command(out_, {"--extend", "--restart"}).refusal(), HasSubstr("give one of them"));
  finish_stage();
  EXPECT_TRUE(Command(out_, {"--epochs=5"}).done());
  EXPECT_TRUE(Command(out_, {"--epochs=5", "--extend"}).done()) << "no longer than it is";
  Command longer(out_, {"--epochs=9", "--extend"});
  EXPECT_FALSE(longer.done());
  RunFolder folder = longer.open();
  ASSERT_EQ(folder.changes().size(), 1U);
  EXPECT_EQ(folder.changes()[0].key, "train.epochs");
  EXPECT_EQ(folder.changes()[0].before, "5");
  EXPECT_TRUE(RunFolder::finished(out_)) << "nothing has happened yet";
  folder.extend(longer.set);
  EXPECT_FALSE(RunFolder::finished(out_));
  EXPECT_TRUE(fs::exists(out_ / "stage-before-extension/MANIFEST.json"));
  EXPECT_EQ(read_file(out_ / "config.cfg"), longer.set.to_config());
}

TEST_F(RunFolderTest, WhichWeightsTheStageTakesMayChangeUntilItIsFinished) {
  Command(out_, {"--train.select=best"}).open();
  Command last(out_, {"--train.select=last"});
  EXPECT_TRUE(last.open().changes().empty());
  EXPECT_EQ(read_file(out_ / "config.cfg"), last.set.to_config());
  finish_stage();
  EXPECT_THAT(Command(out_, {"--train.select=best"}).refusal(),
              HasSubstr("train.select: last in the run folder, best now"));
}

TEST_F(RunFolderTest, ASecondRunAndForeignFilesAreRefused) {
  Command command(out_, {});
  {
    const RunFolder held = command.open();
    EXPECT_THROW(Command(out_, {}).open(), CheckpointError);
  }
  EXPECT_NO_THROW(command.open());
  make_directories(dir_ / "thesis");
  write_file_atomic(dir_ / "thesis/chapter", "precious");
  EXPECT_THAT(Command(dir_ / "thesis", {}).refusal(), HasSubstr("is not a run folder"));
  EXPECT_FALSE(fs::exists(dir_ / "thesis/config.cfg"));
}

TEST_F(RunFolderTest, RestartMovesTheOldFolderAside) {
  Command(out_, {"--seed=4"}).open();
  Command(out_, {"--seed=5", "--restart"}).open();
  Command(out_, {"--seed=6", "--restart"}).open();
  EXPECT_THAT(read_file(dir_ / "run.old-1/config.cfg"), HasSubstr("seed = 4"));
  EXPECT_THAT(read_file(dir_ / "run.old-2/config.cfg"), HasSubstr("seed = 5"));
  EXPECT_THAT(read_file(out_ / "config.cfg"), HasSubstr("seed = 6"));
}

TEST_F(RunFolderTest, RestartLeavesALiveRunItsFolder) {
  Command live(out_, {"--seed=4"});
  const RunFolder held = live.open();
  EXPECT_THROW(Command(out_, {"--seed=5", "--restart"}).open(), CheckpointError);
  EXPECT_THAT(read_file(out_ / "config.cfg"), HasSubstr("seed = 4"));
  EXPECT_FALSE(fs::exists(dir_ / "run.old-1"));
}

TEST_F(RunFolderTest, ARunThatDiedBeforeItWroteItsConfigIsNoForeignFolder) {
  make_directories(out_);
  write_file_atomic(out_ / "config.cfg.tmp", "half");
  EXPECT_NO_THROW(Command(out_, {}).open());
}

TEST(RunObserver, AResumedRunGoesOnWhereItsCheckpointWas) {
  test::TempDir dir;
  const auto report = [](std::int64_t step) {
    reports::StepReport r;
    r.names = reports::kLanguageModelMetrics;
    r.step = step;
    r.lr = {0.1};
    r.groups = {"all"};
    return r;
  };
  const auto observer = [&](const nlohmann::json& saved) {
    return std::make_unique<RunObserver>(dir.path(), "pretrain", reports::kLanguageModelMetrics, 10,
                                         std::vector<std::pair<std::string, std::string>>{}, "", saved);
  };
  nlohmann::json saved;
  {
    const auto first = observer(nullptr);
    first->on_step_report(report(1));
    saved = first->state();
    first->on_step_report(report(2));  // after the checkpoint: will be done again
  }
  observer(saved)->on_step_report(report(2));
  const auto history = reports::read_metrics(dir / "metrics.jsonl", reports::kLanguageModelMetrics);
  ASSERT_EQ(history.train.size(), 2U);
  EXPECT_EQ(history.train[1].step, 2);
  observer(nullptr)->on_step_report(report(1));
  EXPECT_EQ(reports::read_metrics(dir / "metrics.jsonl", reports::kLanguageModelMetrics).train.size(), 1U)
      << "a run that begins anew";
}

// A rank of several, for what depends on their number alone.
struct RankOf : comm::SoloCommunicator {
  int r, n;
  RankOf(int rank_of, int ranks) : SoloCommunicator(at::Device(at::kCPU)), r(rank_of), n(ranks) {}
  int rank() const override { return r; }
  int size() const override { return n; }
};

TEST(MicroBatches, CoversTheBatchOnceWhateverTheRanksAndPasses) {
  for (const bool reproducible : {false, true}) {
    for (const int ranks : {1, 2, 4, 8}) {
      for (const std::int64_t most : {0, 3, 4}) {
        RunOptions run;
        run.compute.reproducible = reproducible;
        run.max_streams_per_pass = most;
        std::int64_t next = 0;
        for (int rank = 0; rank < ranks; ++rank) {
          const train::MicroBatches plan = micro_batches_of(run, 64, true, RankOf(rank, ranks));
          EXPECT_EQ(plan.first, next);
          EXPECT_EQ(64 % plan.total, 0);
          if (reproducible) {
            EXPECT_EQ(plan.total, kReproducibleMicroBatches);
          }
          if (!reproducible && most > 0) {
            EXPECT_LE(64 / plan.total, most);
          }
          next += plan.count;
          if (rank + 1 == ranks) {
            EXPECT_EQ(next, plan.total);
          }
        }
      }
    }
  }
}

TEST(MicroBatches, RefusesRanksThatDoNotDivide) {
  const auto refusal = [](bool reproducible, std::int64_t streams, int ranks) -> std::string {
    RunOptions run;
    run.compute.reproducible = reproducible;
    try {
      micro_batches_of(run, streams, true, RankOf(0, ranks));
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "not refused";
  };
  EXPECT_THAT(refusal(false, 16, 3), AllOf(HasSubstr("16 streams"), HasSubstr("3 ranks"), HasSubstr("such as 18")));
  EXPECT_THAT(refusal(true, 12, 1), HasSubstr("not a multiple"));
  EXPECT_THAT(refusal(true, 48, 3), HasSubstr("1, 2, 4 or 8 ranks"));
}

TEST(DropoutOptions, ScalesAllAndRefusesWhatReachesOne) {
  DropoutOptions options;
  options.rates = {0.4, 0.3, 0.6, 0.05, 0.5};
  options.multiplier = 0.5;
  EXPECT_DOUBLE_EQ(options.resolved().input, 0.3);
  EXPECT_DOUBLE_EQ(options.resolved().embedding, 0.025);
  options.multiplier = 2;
  EXPECT_THROW(options.resolved(), ConfigError);
}

}  // namespace
}  // namespace ulmfit::stages
