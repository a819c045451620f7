#include "train/nt_asgd.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace ulmfit::train {
namespace {

struct Weights {
  at::Tensor a = at::zeros({3});
  at::Tensor b = at::zeros({2, 2});
  interop::NamedTensors named() const { return {{"a", a}, {"b", b}}; }
  void set(double value) {
    a.fill_(value);
    b.fill_(-2 * value);
  }
};

TEST(NtAsgd, BeginsWhenAValidationIsWorseThanTheBestBeforeTheLatestChecks) {
  struct Course {
    std::vector<double> scores;
    std::vector<std::int64_t> begins;  // after which of them, by hand, for 1, 2, 3 and 5 checks; -1: never
  };
  const std::vector<Course> courses{{{5, 4, 3, 2, 1}, {-1, -1, -1, -1}},
                                    {{5, 4, 4.5, 4.4, 4.3}, {3, 4, -1, -1}},
                                    {{5, 4, 5, 3, 3.5, 3.4, 3.3, 3.2}, {5, 6, 7, -1}},
                                    {{3, 3, 3, 3, 3}, {-1, -1, -1, -1}},  // no worse
                                    {{1, 2}, {-1, -1, -1, -1}}};          // too early
  const std::vector<std::int64_t> checks{1, 2, 3, 5};
  for (const auto& course : courses) {
    for (std::size_t c = 0; c < checks.size(); ++c) {
      Weights weights;
      NtAsgd average(weights.named(), checks[c]);
      std::int64_t begun = -1;
      for (std::size_t i = 0; i < course.scores.size(); ++i) {
        average.after_step(static_cast<std::int64_t>(i));
        average.after_validation(course.scores[i]);
        if (begun < 0 && !average.averages().empty()) begun = static_cast<std::int64_t>(i);
      }
      EXPECT_EQ(begun, course.begins[c]) << checks[c] << " checks";
    }
  }
}

// A course that begins to average after step 2, with weights of 400.
NtAsgd begun(Weights& weights) {
  NtAsgd average(weights.named(), 1);
  std::int64_t step = 0;
  for (const double score : {3.0, 2.0, 4.0}) {
    weights.set(100 * score);
    average.after_step(step++);
    average.after_validation(score);
  }
  return average;
}

TEST(NtAsgd, KeepsTheMeanOfTheWeightsFromThenOn) {
  Weights weights;
  NtAsgd average = begun(weights);
  ASSERT_EQ(average.averages().size(), 2U);
  EXPECT_EQ(average.averages()[0].second[0].item<double>(), 400) << "at the trigger: the weights themselves";
  double sum = 0;
  for (int k = 1; k <= 50; ++k) {
    const double value = k * k % 17;
    weights.set(value);
    sum += value;
    average.after_step(3 + k);
    EXPECT_NEAR(average.averages()[0].second[2].item<double>(), sum / k, 1e-5 * (1 + sum / k));
    EXPECT_NEAR(average.averages()[1].second[1][0].item<double>(), -2 * sum / k, 1e-5 * (1 + 2 * sum / k));
    average.after_validation(1);  // better again: it goes on all the same
  }
  EXPECT_EQ(weights.a[0].item<double>(), 50 * 50 % 17) << "what is trained is left alone";
}

TEST(NtAsgd, GoesOnFromWhatItSaved) {
  for (const int saved_after : {0, 4}) {  // before it begins, and while it runs
    Weights weights;
    NtAsgd whole(weights.named(), 1);
    if (saved_after > 0) whole = begun(weights);
    for (int k = 1; k <= saved_after; ++k) {
      weights.set(k);
      whole.after_step(3 + k);
    }
    NtAsgd resumed(weights.named(), 1);
    resumed.load(whole.save());
    ASSERT_EQ(resumed.averages().size(), whole.averages().size());
    for (std::size_t i = 0; i < whole.averages().size(); ++i)
      resumed.averages()[i].second.copy_(whole.averages()[i].second);
    for (int k = 0; k < 12; ++k) {
      weights.set(k % 5);
      for (NtAsgd* one : {&whole, &resumed}) {
        one->after_step(10 + k);
        one->after_validation(k % 3);
      }
    }
    ASSERT_EQ(resumed.averages().size(), 2U);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(resumed.averages()[i].second.equal(whole.averages()[i].second));
    EXPECT_EQ(resumed.save(), whole.save());
  }
}

}  // namespace
}  // namespace ulmfit::train
