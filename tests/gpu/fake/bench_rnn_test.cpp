// What bench rnn compares away from the CPU, where it runs in no other test.
#include "perf/bench_rnn.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "tests/gpu/fake/fake_device.h"

namespace ulmfit::perf {
namespace {

// Calls of at::lstm, by where their weights lay.
struct Calls {
  int in_one_buffer = 0, apart = 0;
};
Calls calls;

std::unique_ptr<at::ObserverContext> note_call(const at::RecordFunction& call) {
  if (std::string_view(call.name()) != "aten::lstm") return nullptr;
  const std::vector<at::Tensor> weights = call.inputs()[2].toTensorVector();
  const bool one = std::all_of(weights.begin(), weights.end(), [&](const auto& w) { return w.is_alias_of(weights[0]); });
  ++(one ? calls.in_one_buffer : calls.apart);
  return nullptr;
}

RnnTimes times_on(at::Device device) {
  BenchRnnOptions options;
  options.bptt = 3;
  options.repeats = 2;
  return measure_rnn(options, 8, 2, model::Precision::kFloat32, device);
}

TEST(BenchRnn, ComparesWeightsThatLieApartAwayFromTheCpu) {
  const auto handle = at::addGlobalCallback(at::RecordFunctionCallback(&note_call).needsInputs(true));
  const RnnTimes times = times_on(test::fake_device());
  at::removeCallback(handle);
  EXPECT_GT(times.forward.lowest, 0);
  EXPECT_GT(times.with_backward.lowest, 0);
  EXPECT_TRUE(times.apart.has_value());
  // Three passes each, forward and with backward: as in training, and for comparison.
  EXPECT_EQ(calls.in_one_buffer, 12);
  EXPECT_EQ(calls.apart, 6);
}

TEST(BenchRnn, ComparesNothingOnTheCpu) { EXPECT_FALSE(times_on(at::kCPU).apart.has_value()); }

}  // namespace
}  // namespace ulmfit::perf
