#include "stages/run_identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/manifest.h"
#include "comm/solo_communicator.h"
#include "data/corpus_folder.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::stages {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RunIdentityTest : public ::testing::Test {
 protected:
  // What check_inputs says against them, empty if it accepts.
  std::string refusal(const comm::Facts& now, bool trained = true) const {
    try {
      RunIdentity(dir_.path()).check_inputs(now, trained);
    } catch (const RunChanged& e) {
      return e.what();
    }
    return "";
  }
  std::string machine_refusal(const comm::Facts& now, bool reproducible) const {
    try {
      RunIdentity(dir_.path()).check_machine(now, /*trained=*/true, reproducible);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "";
  }
  static std::string warnings_of(const std::function<void()>& what) {
    testing::internal::CaptureStderr();
    what();
    return testing::internal::GetCapturedStderr();
  }

  test::TempDir dir_;
  const comm::Facts inputs_{{"training text", "100 tokens (ab)"}, {"labels", "2 classes (cd)"}};
  const comm::Facts machine_{{"program", "1"}, {"build", "x"}, {"threads", "2"}, {"processor", "A"}};
};

TEST_F(RunIdentityTest, AcceptsTheSameInputsAndNamesThoseThatDiffer) {
  EXPECT_EQ(refusal(inputs_, /*trained=*/false), "");
  EXPECT_EQ(refusal(inputs_), "");
  EXPECT_THAT(refusal({{"training text", "100 tokens (ab)"}, {"labels", "2 classes (ef)"}}),
              AllOf(HasSubstr("labels: 2 classes (cd) in the run folder, 2 classes (ef) now"), HasSubstr("--restart"),
                    Not(HasSubstr("training text"))));
  EXPECT_EQ(refusal({{"labels", "2 classes (cd)"}}), "") << "what cannot be read any more is not compared";
  EXPECT_EQ(refusal(inputs_), "") << "what was refused is not recorded";
}

TEST_F(RunIdentityTest, AFolderOfAnOlderProgramIsAdoptedWithOneWarning) {
  EXPECT_THAT(warnings_of([&] { refusal(inputs_); }),
              HasSubstr("does not record what it was trained on (training text, labels)"));
  EXPECT_EQ(warnings_of([&] { EXPECT_EQ(refusal(inputs_), ""); }), "");
  EXPECT_THAT(refusal({{"training text", "other"}}), HasSubstr("training text"));
}

// What an older program finished tells of most of its inputs by itself.
TEST_F(RunIdentityTest, AFinishedStageOfAnOlderProgramIsBelievedBeforeWhatIsGiven) {
  const fs::path fixtures = "tests/fixtures/9207f86";
  for (const bool lm : {true, false}) {
    fs::remove(dir_ / "run.json");
    fs::remove_all(dir_ / "stage");
    fs::copy(fixtures / (lm ? "lm-finished" : "classifier-finished") / "stage", dir_ / "stage");
    const fs::path corpus = fixtures / (lm ? "corpus" : "data/labelled");
    const comm::Facts right = run_inputs(corpus, lm ? "none" : (fixtures / "target-lm-finished").string());
    const comm::Facts wrong =
        lm ? run_inputs(fixtures / "data/lm", "none") : run_inputs(corpus, (fixtures / "lm-finished").string());
    EXPECT_THAT(refusal(wrong), HasSubstr(lm ? "training text: " : "parent's weights: "));
    EXPECT_THAT(
        warnings_of([&] { EXPECT_EQ(refusal(right), ""); }),
        AllOf(HasSubstr("does not record what it was trained on (validation text"), Not(HasSubstr("training text"))));
    EXPECT_EQ(warnings_of([&] { EXPECT_EQ(refusal(right), ""); }), "");
  }
}

TEST_F(RunIdentityTest, AFolderInWhichNothingIsTrainedTakesOtherInputs) {
  EXPECT_EQ(refusal(inputs_, /*trained=*/false), "");
  EXPECT_EQ(refusal({{"training text", "corrected"}}, /*trained=*/false), "");
  EXPECT_THAT(refusal(inputs_), HasSubstr("training text: corrected in the run folder"));
}

TEST_F(RunIdentityTest, UnderReproducibleAnUnknownMachineIsSaid) {
  const auto check = [&](bool reproducible) {
    fs::remove(dir_ / "run.json");
    return warnings_of([&] { EXPECT_EQ(machine_refusal(machine_, reproducible), ""); });
  };
  EXPECT_EQ(check(false), "");
  EXPECT_THAT(check(true), HasSubstr("does not record on what machine"));
}

TEST_F(RunIdentityTest, ANewFolderIsRecordedWithoutAWord) {
  EXPECT_EQ(warnings_of([&] { refusal(inputs_, /*trained=*/false); }), "");
  EXPECT_TRUE(fs::exists(dir_ / "run.json"));
}

TEST_F(RunIdentityTest, AnotherMachineIsOneWarning) {
  EXPECT_EQ(warnings_of([&] { EXPECT_EQ(machine_refusal(machine_, false), ""); }), "");
  for (std::size_t changed = 0; changed < machine_.size(); ++changed) {
    comm::Facts now = machine_;
    now[changed].second = "other";
    const std::string expected = str(now[changed].first, ": ", machine_[changed].second, " in the run folder, other now");
    EXPECT_THAT(warnings_of([&] { EXPECT_EQ(machine_refusal(now, false), ""); }),
                AllOf(HasSubstr("bits may differ"), HasSubstr(expected)));
    EXPECT_EQ(warnings_of([&] { machine_refusal(now, false); }), "") << "said once";
    machine_refusal(machine_, false);
  }
}

TEST_F(RunIdentityTest, UnderReproducibleAnotherMachineIsRefused) {
  machine_refusal(machine_, true);
  for (const std::size_t changed : {0U, 2U, 3U}) {
    comm::Facts now = machine_;
    now[changed].second = "other";
    EXPECT_THAT(machine_refusal(now, true), AllOf(HasSubstr("--reproducible"), HasSubstr(now[changed].first + ": ")));
  }
  comm::Facts rebuilt = machine_;
  rebuilt[1].second = "y";
  EXPECT_THAT(warnings_of([&] { EXPECT_EQ(machine_refusal(rebuilt, true), ""); }), HasSubstr("build: x"));
}

TEST_F(RunIdentityTest, NothingIsComparedWhileNothingIsTrained) {
  machine_refusal(machine_, true);
  comm::Facts now = machine_;
  now[3].second = "B";
  EXPECT_EQ(warnings_of([&] { RunIdentity(dir_.path()).check_machine(now, /*trained=*/false, /*reproducible=*/true); }),
            "");
  EXPECT_EQ(machine_refusal(now, true), "");
}

TEST_F(RunIdentityTest, NewerAndDamagedRecordsAreRefusedByName) {
  const auto message = [&](const std::string& content) -> std::string {
    write_file_atomic(dir_ / "run.json", content);
    try {
      RunIdentity identity(dir_.path());
    } catch (const CheckpointError& e) {
      return e.what();
    }
    return "not refused";
  };
  EXPECT_THAT(message(R"({"format": "ulmfit-run", "version": 2, "inputs": {}, "machine": {}})"),
              AllOf(HasSubstr("run.json"), HasSubstr("version 2, this program reads 1")));
  EXPECT_THAT(message("{"), HasSubstr("cannot read"));
  EXPECT_THAT(message(R"({"format": "other", "version": 1})"), HasSubstr("is not the record of a run"));
  EXPECT_THAT(message(R"({"format": "ulmfit-run", "version": 1, "inputs": {"a": 1}, "machine": {}})"),
              HasSubstr("cannot read"));
}

// A parent is its weights, its vocabulary and its text rules; another with the same weights is another.
TEST_F(RunIdentityTest, EachFileOfTheParentCounts) {
  const fs::path corpus = "tests/fixtures/9207f86/data/labelled";
  const fs::path stage = dir_ / "parent/stage";
  const char* const files[] = {"model.safetensors", "vocab.txt", "text.json", "MANIFEST.json"};
  make_directories(stage);
  for (const char* file : files) write_file_atomic(stage / file, "as it was");
  const comm::Facts before = run_inputs(corpus, (dir_ / "parent").string());
  EXPECT_EQ(before, run_inputs(corpus, stage.string())) << "the run folder stands for its stage";
  refusal(before, /*trained=*/false);
  const char* const names[] = {"parent's weights", "parent's vocabulary", "parent's text rules"};
  for (std::size_t i = 0; i < 3; ++i) {
    write_file_atomic(stage / files[i], "another");
    EXPECT_THAT(refusal(run_inputs(corpus, stage.string())), HasSubstr(names[i]));
    write_file_atomic(stage / files[i], "as it was");
  }
  EXPECT_THAT(refusal(run_inputs(corpus, "none")), HasSubstr("parent's weights"));
  fs::rename(dir_ / "parent", dir_ / "moved");
  EXPECT_EQ(refusal(run_inputs(corpus, (dir_ / "moved").string())), "");
  EXPECT_THROW(run_inputs(corpus, (dir_ / "parent").string()), CheckpointError);
  EXPECT_THAT(warnings_of([&] { EXPECT_TRUE(known_run_inputs(dir_ / "gone", (dir_ / "parent").string()).empty()); }),
              AllOf(HasSubstr("it is gone: "), HasSubstr("parent")));
  fs::copy("tests/fixtures/9207f86/corpus", dir_ / "damaged");
  write_file_atomic(dir_ / "damaged/vocab.txt", "changed");
  EXPECT_THROW(known_run_inputs(dir_ / "damaged", "none"), DataError) << "there, and not what it was";
}

TEST_F(RunIdentityTest, TheMachineIsNamed) {
  const comm::SoloCommunicator comm{at::Device(at::kCPU)};
  const comm::Facts facts = run_machine(comm, Arithmetic::kAuto);
  ASSERT_EQ(facts.size(), 6U);
  EXPECT_THAT(facts[0].second, HasSubstr("libtorch"));
  EXPECT_EQ(facts[1].second.size(), 32U);
  EXPECT_EQ(facts[2], (std::pair<std::string, std::string>("device", "CPU")));
  EXPECT_EQ(facts[3], (std::pair<std::string, std::string>("precision", "fp32")));
  EXPECT_EQ(facts[4].first, "threads");
  EXPECT_FALSE(facts[5].second.empty());
}

// The same --device=auto and --precision=auto on a node without GPUs and on one with.
TEST_F(RunIdentityTest, ARunDoesNotMoveToAnotherKindOfDeviceUnnoticed) {
  const comm::SoloCommunicator cpu{at::Device(at::kCPU)}, gpu{at::Device(at::kCUDA, 0), "a GPU"};
  for (const auto& way : {std::pair(&cpu, &gpu), std::pair(&gpu, &cpu)}) {
    fs::remove(dir_ / "run.json");
    RunIdentity(dir_.path()).check_machine(run_machine(*way.first, Arithmetic::kAuto), false, true);
    EXPECT_THAT(machine_refusal(run_machine(*way.second, Arithmetic::kAuto), /*reproducible=*/true),
                AllOf(HasSubstr("device: "), HasSubstr("precision: "), HasSubstr("tf32")));
    comm::Facts older = run_machine(*way.first, Arithmetic::kAuto);
    std::erase_if(older, [](const auto& fact) { return fact.first == "device" || fact.first == "precision"; });
    fs::remove(dir_ / "run.json");
    RunIdentity(dir_.path()).check_machine(older, false, true);
    EXPECT_THAT(machine_refusal(run_machine(*way.second, Arithmetic::kAuto), /*reproducible=*/true), HasSubstr("device: "));
  }
}

}  // namespace
}  // namespace ulmfit::stages
