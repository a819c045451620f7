#include "perf/op_profile.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "base/activity.h"

namespace ulmfit::perf {
namespace {

double sum(const std::map<std::string, double>& seconds) {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0, [](double s, const auto& entry) { return s + entry.second; });
}

TEST(OpProfile, ActivitiesAddUpToTheWholeTime) {
  const at::Tensor a = at::randn({256, 256});
  OpProfile profile(at::kCPU);
  at::Tensor b = a;
  {
    const Activity activity("first");
    for (int i = 0; i < 20; ++i) b = at::mm(b, a).tanh();
  }
  {
    const Activity activity("second");
    b = b.exp();
  }
  const ProfileResult result = profile.stop();
  EXPECT_NEAR(sum(result.by_activity), result.seconds, 1e-3 * result.seconds + 1e-6);
  EXPECT_GT(result.by_activity.at("first"), result.by_activity.at("second"));
  EXPECT_GT(result.by_operator.at("aten::mm"), 0);
  EXPECT_GT(result.outside_kernels, 0);
  EXPECT_LT(result.outside_kernels, 1);
}

TEST(OpProfile, TheInnerActivityTakesItsTimeFromTheOuterOne) {
  const at::Tensor a = at::randn({256, 256});
  OpProfile profile(at::kCPU);
  {
    const Activity outer("outer");
    {
      const Activity inner("inner");
      for (int i = 0; i < 20; ++i) at::mm(a, a);
    }
  }
  const ProfileResult result = profile.stop();
  EXPECT_GT(result.by_activity.at("inner"), 10 * result.by_activity.at("outer"));
}

TEST(OpProfile, BackwardGoesToThePhaseOfItsNode) {
  EXPECT_EQ(activity_of_operator("MkldnnRnnLayerBackward0", true), "LSTM backward");
  EXPECT_EQ(activity_of_operator("torch::autograd::CppNode<ulmfit::model::(anonymous namespace)::Embed>", true),
            "embedding backward");
  EXPECT_EQ(activity_of_operator("torch::autograd::CppNode<ulmfit::model::(anonymous namespace)::Masked<ulmfit::model::"
                                 "(anonymous namespace)::DropWeights> >",
                                 true),
            "weight drop backward");
  EXPECT_EQ(activity_of_operator("aten::mm", false), "");
  const at::Tensor a = at::randn({64, 64}).requires_grad_(true);
  OpProfile profile(at::kCPU);
  a.square().sum().backward();
  EXPECT_GT(profile.stop().by_activity.at("other backward"), 0);
}

// As the thread that computes a GPU's gradients, and as the one that reads ahead.
TEST(OpProfile, OfOtherThreadsOnlyGradientsCount) {
  const at::Tensor a = at::randn({64, 64});
  OpProfile profile(at::kCPU);
  std::thread([&] { at::mm(a, a); }).join();
  std::thread([&] {
    const at::RecordFunctionGuard on(/*is_enabled=*/true);
    RECORD_FUNCTION_WITH_SCOPE(at::RecordScope::BACKWARD_FUNCTION, "MkldnnRnnLayerBackward0", {});
    at::addmm(a, a, a);
  }).join();
  const ProfileResult result = profile.stop();
  EXPECT_FALSE(result.by_operator.contains("aten::mm"));
  EXPECT_GT(result.by_operator.at("aten::addmm"), 0);
  EXPECT_GT(result.by_activity.at("LSTM backward"), result.by_operator.at("aten::addmm"));
}

TEST(OpProfile, NobodyListensAfterTheStop) {
  {
    const OpProfile dropped(at::kCPU);
    at::ones({2}).add(1);
  }
  OpProfile profile(at::kCPU);
  const ProfileResult result = profile.stop();
  EXPECT_FALSE(result.by_operator.contains("aten::add"));
}

}  // namespace
}  // namespace ulmfit::perf
