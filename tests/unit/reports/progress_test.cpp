#include "reports/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace ulmfit::reports {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

StepReport report_at(std::int64_t step, double elapsed) {
  StepReport r;
  r.names = kLanguageModelMetrics;
  r.step = step;
  r.total_steps = 5000;
  r.epoch = 1.34;
  r.loss = 4.512;
  r.lr = {0.0012, 0.0032};
  r.groups = {"rnn", "head"};
  r.grad_norm = 0.31;
  r.rate = 6540.2;
  r.data_wait_share = 0.003;
  r.comm_share = 0.021;
  r.memory_bytes = 812'345'678;
  r.elapsed_seconds = elapsed;
  return r;
}

TEST(ReportLine, OfALanguageModel) {
  EXPECT_EQ(format_report_line(report_at(1200, 240)),
            "step 1200/5000 epoch 1.34  loss 4.512  ppl 91.1  lr 3.2e-03  |g| 0.31  6,540 tokens/s  data 0.3%  comm 2.1%  "
            "mem 812 MB  left 13m");
}

TEST(ReportLine, LeavesOutWhatSaysNothing) {
  StepReport r = report_at(1200, 240);
  r.names = kClassifierMetrics;
  r.rate = 88.25;
  r.data_wait_share = 0;
  r.comm_share = 0.0001;
  r.memory_bytes = 0;
  r.total_steps = 0;
  EXPECT_EQ(format_report_line(r), "step 1200 epoch 1.34  loss 4.512  lr 3.2e-03  |g| 0.31  88.2 texts/s");
}

TEST(ReportLine, SaysThatStepsWereSkippedAndWhatIsNotFinite) {
  StepReport r = report_at(1200, 240);
  r.skipped_steps = 3;
  r.loss = std::nan("");
  EXPECT_THAT(format_report_line(r), HasSubstr("loss nan  ppl nan"));
  EXPECT_THAT(format_report_line(r), HasSubstr("skipped 3"));
}

TEST(ReportLine, TimeLeftFollowsTheGivenEstimate) {
  EXPECT_THAT(format_report_line(report_at(1200, 240), 45), HasSubstr("left 45s"));
  EXPECT_THAT(format_report_line(report_at(5000, 240)), HasSubstr("left 0s"));
}

TEST(EvaluationLine, SharesArePercentages) {
  EXPECT_EQ(format_evaluation_line({1500, 2, "valid", {{"loss", 4.0971}, {"perplexity", 60.1666}}}),
            "step 1500 epoch 2.00  valid: loss 4.097  perplexity 60.17");
  EXPECT_EQ(format_evaluation_line({300, 5, "test", {{"error", 0.104}, {"accuracy", 0.896}, {"macro_f1", 0.8}}}),
            "step 300 epoch 5.00  test: accuracy 89.60%  error 10.40%  macro f1 80.00%");
}

TEST(BarLine, FillsTheTerminalAndNeverWraps) {
  const StepReport r = report_at(1250, 240);
  EXPECT_EQ(format_bar_line("pretrain", r, 720, 100),
            "pretrain  25% [======>                 ]  1250/5000  loss 4.512  ppl 91.1  left 12m  6,540 tokens/s");
  for (int width = 1; width <= 250; ++width) {
    EXPECT_LT(static_cast<int>(format_bar_line("pretrain", r, 720, width).size()), width) << width;
  }
}

TEST(BarLine, DropsPartsFromTheEndWhereSpaceIsShort) {
  const StepReport r = report_at(1250, 240);
  EXPECT_EQ(format_bar_line("pretrain", r, 720, 60), "pretrain  25%  1250/5000  loss 4.512  ppl 91.1  left 12m");
  EXPECT_EQ(format_bar_line("pretrain", r, 720, 40), "pretrain  25%  1250/5000  loss 4.512");
  EXPECT_EQ(format_bar_line("pretrain", r, 720, 10), "pretrain ");
}

TEST(BarLine, IsFullAtTheEndOnly) {
  EXPECT_THAT(format_bar_line("x", report_at(0, 0), std::nan(""), 120), StartsWith("x   0% [>"));
  EXPECT_THAT(format_bar_line("x", report_at(4999, 0), 1, 120), StartsWith("x  99% ["));
  const std::string full = format_bar_line("x", report_at(5000, 0), 0, 120);
  EXPECT_THAT(full, StartsWith("x 100% [==="));
  EXPECT_THAT(full, Not(HasSubstr(">")));
  EXPECT_THAT(full, HasSubstr("=]"));
}

TEST(Progress, WritesPlainLinesWhereThereIsNoTerminal) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress(5000, "pretrain");
    progress.report(report_at(1200, 240));
    progress.report(EvaluationReport{1200, 1, "valid", {{"loss", 4.5}}});
  }
  const std::string shown = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(shown, HasSubstr("step 1200/5000 epoch 1.34  loss 4.512"));
  EXPECT_THAT(shown, HasSubstr("valid: loss 4.500"));
  EXPECT_THAT(shown, Not(HasSubstr("\r")));
}

TEST(Progress, TimeLeftFollowsThePaceOfTheLastReports) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress(5000, "pretrain");
    progress.report(report_at(1000, 10));  // 100 steps a second, then one
    for (int i = 1; i <= 30; ++i) progress.report(report_at(1000 + 10 * i, 10 + 10 * i));
  }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("left 1h 02m"));  // 3700 steps at one a second
}

int ninety() { return 90; }

TEST(Progress, RedrawsOneLineOnATerminal) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress(5000, "pretrain", ninety);
    progress.report(report_at(1250, 250));
    progress.report(report_at(2500, 500));
  }
  const std::string shown = ::testing::internal::GetCapturedStderr();
  const std::string clear = "\r\x1b[K";
  const std::string first = format_bar_line("pretrain", report_at(1250, 250), 750, 90);
  const std::string second = format_bar_line("pretrain", report_at(2500, 500), 500, 90);
  EXPECT_EQ(shown, clear + first + "\r" + clear + second + "\r" + clear);
}

TEST(Progress, AValidationIsALineOfItsOwnAboveTheBar) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress(5000, "pretrain", ninety);
    progress.report(report_at(1250, 250));
    progress.report(EvaluationReport{1250, 1, "valid", {{"loss", 4.5}}});
  }
  const std::string shown = ::testing::internal::GetCapturedStderr();
  const std::string bar = format_bar_line("pretrain", report_at(1250, 250), 750, 90);
  const auto line = shown.find("valid: loss 4.500");
  ASSERT_NE(line, std::string::npos);
  EXPECT_THAT(shown.substr(0, line), HasSubstr(bar + "\r\r\x1b[K"));  // the bar is gone before the line comes
  EXPECT_THAT(shown.substr(line), HasSubstr("\n\r\x1b[K" + bar));     // and is back below it
}

}  // namespace
}  // namespace ulmfit::reports
