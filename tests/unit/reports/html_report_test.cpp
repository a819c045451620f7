#include "reports/html_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "base/error.h"
#include "base/file.h"
#include "reports/metrics.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::reports {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ReportInfo info() {
  ReportInfo made;
  made.title = "WikiText-2";
  made.names = kLanguageModelMetrics;
  made.stage = "Language model";
  made.summary = {{"Parameters", "4,112,488"}, {"Machine", "two <cores>"}};
  made.config_text = "optim.lr = 0.004\n";
  return made;
}

void write_run(const fs::path& folder, int reports, const MetricNames& names = kLanguageModelMetrics) {
  MetricsLog log(folder / "metrics.jsonl");
  for (int i = 1; i <= reports; ++i) {
    StepReport r;
    r.step = 50 * i;
    r.epoch = 0.1 * i;
    r.phase = i > reports / 2 ? 1 : 0;
    r.loss = 4 + 1.0 / i;
    r.groups = {"rnn", "head"};
    r.lr = {r.phase == 1 ? 0.001 : 0.0, 0.004};
    r.grad_norm = 0.3;
    r.rate = 6000;
    r.names = names;
    r.elapsed_seconds = 5 * i;
    log.write(r);
  }
  if (names.has_perplexity) {
    log.write(EvaluationReport{50, 0.1, "valid", {{"loss", 4.1}, {"perplexity", 60.34}}});
    log.write(EvaluationReport{100, 0.2, "valid", {{"loss", 4.0}, {"perplexity", 54.6}}});
    log.write(EvaluationReport{150, 0.3, "valid", {{"loss", 4.2}, {"perplexity", 66.69}}});
    log.write(EvaluationReport{150, 0.3, "test", {{"loss", 1.0}, {"perplexity", 2.718}}});
  } else {
    log.write(EvaluationReport{50, 0.1, "valid", {{"loss", 0.5}, {"error", 0.125}, {"accuracy", 0.875}}});
  }
}

std::string report_of(const fs::path& folder, const ReportInfo& given) {
  write_html_report(folder, given);
  return read_file(folder / "report.html");
}

TEST(HtmlReport, OfALanguageModel) {
  test::TempDir dir;
  write_run(dir.path(), 200);
  const std::string page = report_of(dir.path(), info());
  EXPECT_THAT(page, HasSubstr("<h1>WikiText-2</h1>"));
  EXPECT_THAT(page, HasSubstr("<dt>Machine</dt><dd>two &lt;cores&gt;</dd>"));
  EXPECT_THAT(page, HasSubstr("<span>Best validation: perplexity</span><b>54.60</b><small>step 100, epoch 0.20</small>"));
  EXPECT_THAT(page, HasSubstr("<span>Training time</span><b>17m</b><small>6,000 tokens/s</small>"));
  for (const char* chart : {"Loss", "Perplexity on unseen text", "Learning rate", "Throughput", "Gradient norm"}) {
    EXPECT_THAT(page, HasSubstr(std::string("<h3>") + chart)) << chart;
  }
  for (const char* series : {"training, smoothed", "validation", "test", "rnn", "head"}) {
    EXPECT_THAT(page, HasSubstr(std::string("data-name=\"") + series + "\"")) << series;
  }
  EXPECT_THAT(page, HasSubstr(">phase 2</span>"));
  EXPECT_THAT(page, HasSubstr("optim.lr = 0.004"));
  EXPECT_THAT(page, Not(HasSubstr("Confusion")));
  EXPECT_FALSE(fs::exists(dir / "report.html.tmp"));
}

TEST(HtmlReport, OfAClassifier) {
  test::TempDir dir;
  write_run(dir.path(), 20, kClassifierMetrics);
  ReportInfo given = info();
  given.names = kClassifierMetrics;
  given.classification = Classification{{"HUM", "<script>alert(1)</script>"}, {{90, 10}, {5, 95}}, "test"};
  const std::string page = report_of(dir.path(), given);
  EXPECT_THAT(page, HasSubstr("<h3>Error on unseen texts"));
  EXPECT_THAT(page, HasSubstr("<span>Best validation: error</span><b>12.5%</b>"));
  EXPECT_THAT(page, HasSubstr("<span>Accuracy</span><b>92.5%</b>"));
  EXPECT_THAT(page, HasSubstr("Confusion matrix"));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, Not(HasSubstr("erplexity")));
}

TEST(HtmlReport, OfAnotherKindOfModelUnderItsOwnNames) {
  test::TempDir dir;
  ReportInfo given = info();
  given.names = {.rate = "tags_per_s",
                 .target = "tag",
                 .headline = "miss",
                 .headline_title = "Tags missed",
                 .headline_note = "",
                 .headline_is_share = true};
  MetricsLog log(dir / "metrics.jsonl");
  StepReport r;
  r.step = 50;
  r.loss = 0.5;
  r.rate = 80;
  r.names = given.names;
  log.write(r);
  log.write(EvaluationReport{50, 1, "valid", {{"loss", 0.5}, {"miss", 0.25}}});
  const std::string page = report_of(dir.path(), given);
  EXPECT_THAT(page, HasSubstr("<span>Best validation: miss</span><b>25.0%</b>"));
  EXPECT_THAT(page, HasSubstr("<h3>Tags missed"));
  EXPECT_THAT(page, HasSubstr("nats a tag"));
  EXPECT_THAT(page, HasSubstr("80.0 tags/s"));
}

TEST(HtmlReport, EqualRatesAreOneCurve) {
  test::TempDir dir;
  MetricsLog log(dir / "metrics.jsonl");
  StepReport r;
  r.step = 50;
  r.groups = {"rnn", "head"};
  r.lr = {0.004, 0.004};
  log.write(r);
  const std::string page = report_of(dir.path(), info());
  EXPECT_THAT(page, HasSubstr("data-name=\"all layer groups\""));
  EXPECT_THAT(page, Not(HasSubstr("data-name=\"rnn\"")));
}

TEST(HtmlReport, AllTextsAreEscaped) {
  test::TempDir dir;
  MetricsLog log(dir / "metrics.jsonl");
  StepReport r;
  r.step = 50;
  r.groups = {"<em>", "\"onload=\""};
  r.lr = {0.1, 0.2};
  log.write(r);
  log.write(EvaluationReport{50, 1, "<em>", {{"loss", 1}, {"perplexity", 3}}});
  ReportInfo given;
  given.title = given.stage = given.config_text = "<em>\"'&";
  given.summary = {{"<em>", "<em>"}};
  const std::string page = report_of(dir.path(), given);
  EXPECT_THAT(page, Not(HasSubstr("<em>")));
  EXPECT_THAT(page, Not(HasSubstr("\"onload")));
  EXPECT_THAT(page, HasSubstr("<h1>&lt;em&gt;&quot;&#39;&amp;</h1>"));
}

TEST(HtmlReport, OfARunWithoutReports) {
  test::TempDir dir;
  EXPECT_THAT(report_of(dir.path(), info()), HasSubstr("No reports of training yet"));
  write_file_atomic(dir / "metrics.jsonl", "{\"type\":\"train\",\"step\":1,\"lo\nnonsense\n\n");
  EXPECT_THAT(report_of(dir.path(), ReportInfo{}), HasSubstr("No reports of training yet"));
  // An evaluation has none, and nothing is missing.
  ReportInfo evaluated = info();
  evaluated.classification = Classification{{"a", "b"}, {{3, 1}, {0, 2}}, "test"};
  fs::remove(dir / "metrics.jsonl");
  EXPECT_THAT(report_of(dir.path(), evaluated), Not(HasSubstr("Training</h2>")));
}

TEST(HtmlReport, BrokenLinesAndMissingNumbersAreToleratedAndNotShown) {
  test::TempDir dir;
  write_file_atomic(dir / "metrics.jsonl", R"({"type":"train","step":10}
{"type":"train","step":20,"loss":null,"lr_by_group":{"rnn":null},"tokens_per_s":null}
{"type":"train","step":30,"loss":4.5,"lr_by_group":{"rnn":0.1},"tokens_per_s":100.0,"elapsed_s":9.0}
{"type":"valid","step":30}
{"type":"valid","step":30,"split":"valid","perplexity":null}
{"type":"train","step":40,"lo)");
  const std::string page = report_of(dir.path(), info());
  EXPECT_THAT(page, HasSubstr("data-points=\"30 4.5\""));
  EXPECT_THAT(page, HasSubstr("100 tokens/s"));
  EXPECT_THAT(page, Not(HasSubstr(">nan")));
  EXPECT_THAT(page, Not(HasSubstr("Best validation")));
}

TEST(HtmlReport, StaysSmallHoweverLongTheRun) {
  test::TempDir dir;
  write_run(dir.path(), 20000);
  EXPECT_LT(report_of(dir.path(), info()).size(), 300'000U);
}

TEST(HtmlReport, RefusesWhatDoesNotFitTogetherOrCannotBeWritten) {
  test::TempDir dir;
  ReportInfo given = info();
  given.classification = Classification{{"a"}, {{1, 0}, {0, 1}}, "test"};
  EXPECT_THROW(write_html_report(dir.path(), given), std::invalid_argument);
  EXPECT_FALSE(fs::exists(dir / "report.html"));
  EXPECT_THROW(write_html_report(dir / "missing", info()), FileError);
}

}  // namespace
}  // namespace ulmfit::reports
