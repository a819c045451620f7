#include "comm/grad_reducer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/distributed/ranks.h"
#include "tests/support/random_tensor.h"

namespace ulmfit::comm {
namespace {

using test::random_tensor;
using test::ranks;
using testing::HasSubstr;
using testing::ThrowsMessage;

// Sizes in elements, the third past a bucket of those without overlap.
std::vector<ReducedParameter> parameters() {
  std::vector<ReducedParameter> made;
  for (const std::int64_t size : {3L, 262'144L, 7'000'001L, 10L}) {
    const auto layer = std::min<std::int64_t>(static_cast<std::int64_t>(made.size()), 2);
    made.push_back({str("p", size), at::ones({size}).requires_grad_(), layer});
  }
  return made;
}

at::Tensor weights(std::int64_t size) { return at::arange(size, at::kLong).remainder(100).to(at::kFloat); }

TEST(GradReducer, GradientsBecomeTheirSumsOverRanks) {
  Communicator& comm = ranks();
  const std::int64_t n = comm.size();
  const auto made = parameters();
  GradReducer reducer(comm, made);
  EXPECT_EQ(reducer.buckets(), 3U);
  for (int step = 0; step < 2; ++step) {
    reducer.zero();
    reducer.expect_backward();
    for (const auto& parameter : made) {
      (parameter.tensor * weights(parameter.tensor.numel()) * (comm.rank() + 1)).sum().backward();
    }
    reducer.reduce();
    for (const auto& parameter : made) {
      EXPECT_TRUE(at::equal(parameter.tensor.grad(), weights(parameter.tensor.numel()) * (n * (n + 1) / 2)))
          << parameter.name;
    }
  }
  EXPECT_GT(reducer.waited_seconds(), 0.0);
}

TEST(GradReducer, FrozenParametersAreLeftOut) {
  Communicator& comm = ranks();
  const auto made = parameters();
  GradReducer reducer(comm, made);
  reducer.set_trainable({false, true, false, true});
  for (const std::size_t i : {1U, 3U}) made[i].tensor.sum().backward();
  reducer.reduce();
  EXPECT_FALSE(made[0].tensor.grad().defined());
  EXPECT_FALSE(made[2].tensor.grad().defined());
  for (const std::size_t i : {1U, 3U}) {
    EXPECT_TRUE(at::equal(made[i].tensor.grad(), at::full_like(made[i].tensor, comm.size())));
  }
}

TEST(GradReducer, SumsHaveTheSameBitsOnAllRanks) {
  Communicator& comm = ranks();
  const auto made = parameters();
  GradReducer reducer(comm, made);
  for (const auto& parameter : made) {
    (parameter.tensor * random_tensor({parameter.tensor.numel()}, static_cast<std::uint32_t>(comm.rank())))
        .sum()
        .backward();
  }
  reducer.reduce();
  for (const auto& parameter : made) {
    at::Tensor of_first = parameter.tensor.grad().clone();
    comm.broadcast(of_first, 0);
    EXPECT_TRUE(at::equal(of_first, parameter.tensor.grad())) << parameter.name;
  }
}

TEST(FixedTree, NeedsAPowerOfTwoOfRanks) {
  Communicator& comm = ranks();
  GradReducer reducer(comm, parameters());
  if (is_power_of_two(comm.size())) {
    EXPECT_NO_THROW(reducer.use_fixed_tree(comm.size()));
  } else {
    EXPECT_THAT([&] { reducer.use_fixed_tree(8); }, ThrowsMessage<CommError>(HasSubstr("powers of two")));
    at::Tensor tensor = at::ones({4});
    EXPECT_THAT([&] { tree_sum(comm, tensor); }, ThrowsMessage<CommError>(HasSubstr("expected 1, 2, 4, 8, ... ranks")));
  }
}

}  // namespace
}  // namespace ulmfit::comm
