// The whole way of a model away from the CPU: trained, gone on with, tuned, made a classifier, evaluated, asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/manifest.h"
#include "comm/solo_communicator.h"
#include "data_prep/prepare_labelled.h"
#include "stages/evaluate.h"
#include "stages/predict.h"
#include "stages/train_classifier.h"
#include "stages/train_lm.h"
#include "tests/gpu/fake/fake_device.h"
#include "tests/gpu/fake/fake_recording.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::stages {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

class FakeStages : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string csv = "text,label\n";
    constexpr const char* kColours[] = {"crimson", "emerald", "azure"};
    for (int i = 0; i < 240; ++i) {
      csv += str("the ", kColours[i % 3], " thing number ", i % 17, " stands by the ", i % 7, " others here,", i % 3, "\n");
    }
    write_file_atomic(dir_ / "texts.csv", csv);
    data_prep::PrepareLabelledOptions options;
    options.train = dir_ / "texts.csv";
    options.test = dir_ / "texts.csv";
    options.output = dir_ / "data";
    options.valid_share = 0.2;
    options.threads = 1;
    data_prep::prepare_labelled(options);
  }

  std::string path(const std::string& name) const { return (dir_ / name).string(); }

  StageResult language_model(const std::string& command, const std::string& output, at::Device device, const Words& more) {
    comm::SoloCommunicator comm(device);
    TrainLmOptions options;
    config::OptionSet set(command);
    command == "pretrain" ? options.declare_pretrain(set) : options.declare_finetune(set);
    Words words{"--corpus",          path("data/lm"),   "--output",        path(output),
                "--train.streams=8", "--train.bptt=12", "--train.epochs=3"};
    words.insert(words.end(), more.begin(), more.end());
    set.parse(words);
    options.resolve(set, comm);
    return train_lm(command, options, set, comm);
  }
  StageResult pretrained(const std::string& output, at::Device device) {
    return language_model("pretrain", output, device,
                          {"--model.embedding=16", "--model.hidden=24", "--model.layers=2", "--checkpoint.every=5s",
                           "--checkpoint.keep=100"});
  }
  StageResult classifier(const std::string& from, const std::string& output, at::Device device) {
    comm::SoloCommunicator comm(device);
    TrainClassifierOptions options;
    config::OptionSet set("train-classifier");
    options.declare(set);
    set.parse({"--data", path("data/labelled"), "--from", path(from), "--output", path(output), "--train.batch-size=16",
               "--train.epochs=3", "--optim.unfreeze=1,1,1", "--bpt3c.window=6"});
    return train_classifier(options, set, comm);
  }
  double error_of(const std::string& model, at::Device device) const {
    comm::SoloCommunicator comm(device);
    EvaluateOptions options;
    options.models = {path(model)};
    options.data = path("data/labelled");
    return evaluate(options, comm).metrics.at("error");
  }

  const test::TempDir dir_;
};

TEST_F(FakeStages, GoFromTextToAnswersAsOnTheCpu) {
  const at::Device device = test::fake_device();
  const StageResult ours = pretrained("lm", device), plain = pretrained("lm-cpu", at::kCPU);
  EXPECT_NEAR(ours.evaluation.score, plain.evaluation.score, 1e-3 * plain.evaluation.score);
  language_model("finetune-lm", "tuned", device, {"--from", path("lm")});
  classifier("tuned", "classifier", device);
  EXPECT_NEAR(error_of("classifier", device), error_of("classifier", at::kCPU), 0.01);  // two of 240 texts may be a tie
  PredictOptions asked;
  asked.models = {path("classifier")};
  const auto answer = [&](at::Device where) {
    std::istringstream in("the azure thing stands\nand the crimson one\n");
    std::ostringstream out;
    predict(asked, where, in, out);
    return out.str();
  };
  const std::string answers = answer(device);
  EXPECT_EQ(std::count(answers.begin(), answers.end(), '\n'), 2);
  EXPECT_EQ(answers.find("error"), std::string::npos) << answers;
}

TEST_F(FakeStages, SayThatAGpuHasTooLittleToDo) {
  ::testing::internal::CaptureStderr();
  pretrained("lm", test::fake_device());
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("each GPU computes 8 of the 8 of --train.streams, and is busy from 32 on: give 32 or more "
                        "(--train.streams-per-rank 32), or take fewer ranks"));
  ::testing::internal::CaptureStderr();
  pretrained("lm-cpu", at::kCPU);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), Not(HasSubstr("is busy from")));
}

TEST_F(FakeStages, ADryRunMeasuresAndLeavesNothing) {
  ::testing::internal::CaptureStderr();
  const StageResult planned =
      language_model("pretrain", "planned", test::fake_device(), {"--model.embedding=16", "--dry-run"});
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), ::testing::ContainsRegex("measured: ([89]|[0-9]{2,}) steps"));
  EXPECT_EQ(planned.end, StageEnd::kPlanned);
  EXPECT_GT(planned.seconds, 0);
  EXPECT_FALSE(fs::exists(dir_ / "planned/checkpoints"));
}

TEST_F(FakeStages, StartWholeStepsWithTheSameBits) {
  test::RecordingLauncher launcher;
  const test::LauncherScope scope(test::fake_device().type(), launcher);
  const Words small{"--model.embedding=8", "--model.hidden=8", "--model.layers=2", "--train.steps=12"};
  Words recorded = small;
  recorded.emplace_back("--train.cuda-graph");
  language_model("pretrain", "lm", test::fake_device(), small);
  EXPECT_EQ(launcher.starts, 0);
  language_model("pretrain", "recorded", test::fake_device(), recorded);
  EXPECT_GT(launcher.starts, launcher.recordings);
  EXPECT_TRUE(read_file(dir_ / "recorded/stage/model.safetensors") == read_file(dir_ / "lm/stage/model.safetensors"));
}

TEST_F(FakeStages, GoOnWithTheSameBits) {
  pretrained("lm", test::fake_device());
  const std::string whole = read_file(dir_ / "lm/stage/model.safetensors");
  fs::remove_all(dir_ / "lm/stage");
  std::vector<fs::path> checkpoints;
  for (const auto& entry : fs::directory_iterator(dir_ / "lm/checkpoints")) {
    if (fs::exists(entry.path() / kManifestName)) checkpoints.push_back(entry.path());
  }
  std::sort(checkpoints.begin(), checkpoints.end());
  ASSERT_GE(checkpoints.size(), 4U);
  for (std::size_t i = 2; i < checkpoints.size(); ++i) fs::remove_all(checkpoints[i]);  // as if killed after the second
  pretrained("lm", test::fake_device());
  EXPECT_TRUE(read_file(dir_ / "lm/stage/model.safetensors") == whole);
}

}  // namespace
}  // namespace ulmfit::stages
