// What bench rnn compares away from the CPU, where it runs in no other test.
#include "perf/bench_rnn.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "tests/gpu/fake/fake_device.h"

namespace ulmfit::perf {
namespace {

std::map<std::string, int> calls;

std::unique_ptr<at::ObserverContext> note_call(const at::RecordFunction& call) {
  ++calls[call.name()];
  return nullptr;
}

RnnTimes times_on(at::Device device) {
  BenchRnnOptions options;
  options.bptt = 3;
  options.repeats = 2;
  return measure_rnn(options, 8, 2, model::Precision::kFloat32, device);
}

TEST(BenchRnn, ComparesWeightsThatLieApartAwayFromTheCpu) {
  const auto handle = at::addGlobalCallback(at::RecordFunctionCallback(&note_call).scopes({at::RecordScope::FUNCTION}));
  const RnnTimes times = times_on(test::fake_device());
  at::removeCallback(handle);
  EXPECT_GT(times.forward.lowest, 0);
  EXPECT_GT(times.with_backward.lowest, 0);
  EXPECT_TRUE(times.apart.has_value());
  EXPECT_EQ(calls["aten::lstm"], 18) << "three passes each, forward and with backward: as in training, together, apart";
  EXPECT_EQ(calls["aten::clone"], 4) << "the weights that lie apart";
}

TEST(BenchRnn, ComparesNothingOnTheCpu) { EXPECT_FALSE(times_on(at::kCPU).apart.has_value()); }

}  // namespace
}  // namespace ulmfit::perf
