#include "reports/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::reports {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

StepReport report_at(std::int64_t step) {
  StepReport r;
  r.names = kLanguageModelMetrics;
  r.step = step;
  r.total_steps = 5000;
  r.epoch = 1.25;
  r.phase = 2;
  r.loss = 4.5;
  r.lr = {0.001, 0.004};
  r.groups = {"rnn", "head"};
  r.beta1 = 0.7;
  r.grad_norm = 0.31;
  r.rate = 6540;
  r.data_wait_share = 0.003;
  r.comm_share = 0.021;
  r.memory_bytes = 812'000'000;
  r.skipped_steps = 1;
  r.elapsed_seconds = 412.5;
  return r;
}

std::vector<std::int64_t> steps_in(const fs::path& path) {
  std::vector<std::int64_t> steps;
  for (const StepReport& r : read_metrics(path, kLanguageModelMetrics).train) steps.push_back(r.step);
  return steps;
}

TEST(MetricsLog, WritesATrainingLine) {
  test::TempDir dir;
  MetricsLog log(dir / "metrics.jsonl");
  log.write(report_at(100));
  const auto lines = read_lines(dir / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 1U);
  const auto line = nlohmann::json::parse(lines[0]);
  const auto expected = nlohmann::json::parse(
      R"({"type": "train", "step": 100, "total_steps": 5000, "epoch": 1.25, "phase": 2, "loss": 4.5, "lr": 0.004,
          "lr_by_group": {"rnn": 0.001, "head": 0.004}, "beta1": 0.7, "grad_norm": 0.31, "tokens_per_s": 6540.0,
          "data_wait": 0.003, "comm": 0.021, "memory_mb": 812.0, "skipped": 1, "elapsed_s": 412.5})");
  EXPECT_NEAR(line.at("perplexity").get<double>(), std::exp(4.5), 1e-9);
  auto without = line;
  without.erase("perplexity");
  EXPECT_EQ(without, expected);
}

TEST(MetricsLog, AClassifierHasNoPerplexityAndCountsTexts) {
  test::TempDir dir;
  MetricsLog log(dir / "metrics.jsonl");
  StepReport r = report_at(100);
  r.names = kClassifierMetrics;
  log.write(r);
  const auto line = nlohmann::json::parse(read_file(dir / "metrics.jsonl"));
  EXPECT_FALSE(line.contains("perplexity"));
  EXPECT_FALSE(line.contains("tokens_per_s"));
  EXPECT_EQ(line.at("docs_per_s"), 6540.0);
}

TEST(MetricsLog, WritesAValidationLine) {
  test::TempDir dir;
  MetricsLog log(dir / "metrics.jsonl");
  log.write(EvaluationReport{1500, 2.0, "valid", {{"loss", 4.0}, {"perplexity", 54.5}}});
  EXPECT_EQ(read_file(dir / "metrics.jsonl"),
            "{\"type\":\"valid\",\"step\":1500,\"epoch\":2.0,\"split\":\"valid\",\"loss\":4.0,\"perplexity\":54.5}\n");
}

TEST(MetricsLog, NumbersThatAreNotFiniteAreNull) {
  test::TempDir dir;
  MetricsLog log(dir / "metrics.jsonl");
  StepReport r = report_at(100);
  r.loss = std::nan("");
  r.beta1 = std::nan("");
  r.grad_norm = INFINITY;
  r.lr = {std::nan(""), 0.5};
  log.write(r);
  r.loss = 1e6;  // finite, its perplexity is not
  log.write(r);
  log.write(EvaluationReport{1, 1, "valid", {{"loss", -INFINITY}}});
  const auto lines = read_lines(dir / "metrics.jsonl");
  const auto first = nlohmann::json::parse(lines.at(0));
  for (const char* key : {"loss", "perplexity", "beta1", "grad_norm"}) EXPECT_TRUE(first.at(key).is_null()) << key;
  EXPECT_TRUE(first.at("lr_by_group").at("rnn").is_null());
  EXPECT_EQ(first.at("lr"), 0.5);
  EXPECT_TRUE(nlohmann::json::parse(lines.at(1)).at("perplexity").is_null());
  EXPECT_TRUE(nlohmann::json::parse(lines.at(2)).at("loss").is_null());
}

TEST(MetricsLog, IsReadBackAsItWas) {
  test::TempDir dir;
  MetricsLog log(dir / "metrics.jsonl");
  const StepReport wrote = report_at(100);
  log.write(wrote);
  log.write(EvaluationReport{150, 1.5, "test", {{"loss", 0.25}, {"error", std::nan("")}}});
  const MetricsHistory history = read_metrics(dir / "metrics.jsonl", kLanguageModelMetrics);
  ASSERT_EQ(history.train.size(), 1U);
  const StepReport& r = history.train[0];
  EXPECT_EQ(r.step, wrote.step);
  EXPECT_EQ(r.epoch, wrote.epoch);
  EXPECT_EQ(r.phase, wrote.phase);
  EXPECT_EQ(r.loss, wrote.loss);
  EXPECT_THAT(r.groups, ElementsAre("rnn", "head"));  // in their order, not the alphabet's
  EXPECT_EQ(r.lr, wrote.lr);
  EXPECT_EQ(r.beta1, wrote.beta1);
  EXPECT_EQ(r.grad_norm, wrote.grad_norm);
  EXPECT_EQ(r.rate, wrote.rate);
  EXPECT_EQ(r.names.rate, "tokens_per_s");
  EXPECT_EQ(r.data_wait_share, wrote.data_wait_share);
  EXPECT_EQ(r.comm_share, wrote.comm_share);
  EXPECT_EQ(r.memory_bytes, wrote.memory_bytes);
  EXPECT_EQ(r.skipped_steps, wrote.skipped_steps);
  EXPECT_EQ(r.elapsed_seconds, wrote.elapsed_seconds);
  ASSERT_EQ(history.valid.size(), 1U);
  EXPECT_EQ(history.valid[0].split, "test");
  EXPECT_EQ(history.valid[0].step, 150);
  EXPECT_EQ(history.valid[0].values.size(), 2U);
  EXPECT_EQ(history.valid[0].values.at("loss"), 0.25);
  EXPECT_TRUE(std::isnan(history.valid[0].values.at("error")));
}

TEST(MetricsHistory, TheBestIsTheFirstValidationWithTheLowestScore) {
  MetricsHistory history;
  EXPECT_EQ(history.best(kMultilabelMetrics), nullptr);
  const auto add = [&](std::int64_t step, std::map<std::string, double> values, const char* split = "valid") {
    history.valid.push_back({.step = step, .epoch = 1, .split = split, .values = std::move(values)});
  };
  const auto step_of_best = [&](const MetricNames& names) {
    const EvaluationReport* best = history.best(names);
    return best == nullptr ? -1 : best->step;
  };
  add(1, {{"error", 0.1}});
  add(2, {{"loss", std::nan("")}, {"error", 0.1}});
  EXPECT_EQ(step_of_best(kMultilabelMetrics), -1);
  EXPECT_EQ(step_of_best(kClassifierMetrics), -1);
  add(3, {{"loss", 0.7}, {"error", 0.2}});
  add(4, {{"loss", 0.6}, {"error", 0.2}});
  add(5, {{"loss", 0.5}, {"error", 0.3}});  // though more are wrong
  add(6, {{"loss", 0.5}, {"error", 0.25}});
  add(7, {{"loss", 0.6}, {"error", 0.2}});
  add(8, {{"loss", 0.1}, {"error", 0.1}}, "test");
  EXPECT_EQ(step_of_best(kMultilabelMetrics), 5);  // by the loss
  EXPECT_EQ(step_of_best(kClassifierMetrics), 4);  // by the error, and then the loss
}

TEST(HeadlineText, IsAPercentageOrFourDigits) {
  EXPECT_EQ(headline_text(kClassifierMetrics, {{"loss", 1}, {"error", 0.1604}}), "16.0%");
  EXPECT_EQ(headline_text(kLanguageModelMetrics, {{"perplexity", 34.1234}}), "34.12");
  EXPECT_EQ(headline_text(kLanguageModelMetrics, {{"loss", 3}}), "none");
}

TEST(MetricsLog, AResumedRunHasNeitherDoublesNorGaps) {
  test::TempDir dir;
  const fs::path path = dir / "metrics.jsonl";
  MetricsLog uninterrupted(dir / "whole.jsonl");
  for (int i = 1; i <= 6; ++i) uninterrupted.write(report_at(100 * i));
  std::int64_t at_checkpoint = 0;
  {
    MetricsLog log(path);
    for (int i = 1; i <= 3; ++i) log.write(report_at(100 * i));
    at_checkpoint = log.bytes();
    EXPECT_EQ(at_checkpoint, static_cast<std::int64_t>(fs::file_size(path)));
    log.write(report_at(400));  // after the checkpoint, before the kill: half a line more
    OutputFile torn(path, OutputFile::Mode::kAppend);
    torn.write("{\"type\":\"train\",\"st");
  }
  MetricsLog resumed(path, at_checkpoint);
  EXPECT_EQ(resumed.bytes(), at_checkpoint);
  for (int i = 4; i <= 6; ++i) resumed.write(report_at(100 * i));
  EXPECT_EQ(read_file(path), read_file(dir / "whole.jsonl"));
  EXPECT_EQ(resumed.bytes(), uninterrupted.bytes());
}

TEST(MetricsLog, ANewRunBeginsANewFile) {
  test::TempDir dir;
  MetricsLog(dir / "metrics.jsonl").write(report_at(7));
  MetricsLog(dir / "metrics.jsonl").write(report_at(8));
  EXPECT_THAT(steps_in(dir / "metrics.jsonl"), ElementsAre(8));
}

TEST(MetricsLog, AFileThatLostItsEndIsGoneOnWithAndWarnedAbout) {
  test::TempDir dir;
  write_file_atomic(dir / "metrics.jsonl", "{\"type\":\"train\",\"step\":1}\n");
  ::testing::internal::CaptureStderr();
  MetricsLog log(dir / "metrics.jsonl", 5000);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("has 26 bytes where the checkpoint counted 5000"));
  log.write(report_at(2));
  EXPECT_THAT(steps_in(dir / "metrics.jsonl"), ElementsAre(1, 2));
  EXPECT_EQ(log.bytes(), static_cast<std::int64_t>(fs::file_size(dir / "metrics.jsonl")));
}

TEST(MetricsLog, AFullDiskWarnsOnceAndGoesOn) {
  ::testing::internal::CaptureStderr();
  MetricsLog log("/dev/full");
  for (int i = 0; i < 3; ++i) EXPECT_NO_THROW(log.write(report_at(i)));
  const std::string shown = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(shown, HasSubstr("metrics not written, training goes on (cannot write /dev/full"));
  EXPECT_EQ(shown.find("metrics not written"), shown.rfind("metrics not written"));
  EXPECT_EQ(log.bytes(), 0);
}

TEST(MetricsLog, AFolderThatComesLaterIsWrittenTo) {
  test::TempDir dir;
  ::testing::internal::CaptureStderr();
  MetricsLog log(dir / "later" / "metrics.jsonl");
  log.write(report_at(1));
  fs::create_directory(dir / "later");
  log.write(report_at(2));
  ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(steps_in(dir / "later" / "metrics.jsonl"), ElementsAre(2));
}

TEST(ReadMetrics, PassesOverWhatIsNotALine) {
  test::TempDir dir;
  write_file_atomic(dir / "m", R"({"type":"train","step":1,"loss":"high","lr_by_group":[1],"memory_mb":-3}
not json
[1,2]
"train"
{"type":7}
{"type":"other"}

{"type":"valid","step":"x","split":5}
{"type":"train","step":2,"lo)");
  const MetricsHistory history = read_metrics(dir / "m", kLanguageModelMetrics);
  ASSERT_EQ(history.train.size(), 1U);
  EXPECT_TRUE(std::isnan(history.train[0].loss));
  EXPECT_TRUE(history.train[0].groups.empty());
  EXPECT_EQ(history.train[0].memory_bytes, 0U);
  EXPECT_EQ(history.valid.size(), 1U);
  EXPECT_TRUE(read_metrics(dir / "missing", kLanguageModelMetrics).train.empty());
}

}  // namespace
}  // namespace ulmfit::reports
