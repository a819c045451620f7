#include "comm/grad_reducer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include "comm/solo_communicator.h"
#include "tests/support/random_tensor.h"

namespace ulmfit::comm {
namespace {

using test::random_tensor;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<ReducedParameter> three_parameters() {
  std::vector<ReducedParameter> parameters;
  parameters.push_back({"embedding", random_tensor({10, 4}, 1), 0});
  parameters.push_back({"hidden", random_tensor({8, 3}, 2), 1});
  parameters.push_back({"bias", random_tensor({5}, 3), 2});
  for (ReducedParameter& parameter : parameters) parameter.tensor.requires_grad_();
  return parameters;
}

// Sums of one rank are doubled, so that each bucket's sum, and their order, can be seen.
class RecordingCommunicator : public SoloCommunicator {
 public:
  bool overlaps() const override { return true; }
  void start_sum(at::Tensor& tensor) override {
    tensor.mul_(2);
    sizes.push_back(tensor.numel());
  }
  void finish_sums() override { ++finished; }

  std::vector<std::int64_t> sizes;
  int finished = 0;
};

TEST(GradReducer, BackwardWritesIntoItsBuffer) {
  SoloCommunicator comm;
  const auto parameters = three_parameters();
  GradReducer reducer(comm, parameters);
  EXPECT_EQ(reducer.elements(), 48 + 32 + 16);  // each rounded up to 16 floats
  const void* place = parameters[1].tensor.grad().data_ptr();
  for (int pass = 0; pass < 2; ++pass) (parameters[1].tensor * 3).sum().backward();
  EXPECT_EQ(parameters[1].tensor.grad().data_ptr(), place);
  EXPECT_TRUE(at::equal(parameters[1].tensor.grad(), at::full({8, 3}, 6.0)));
  EXPECT_TRUE(at::equal(parameters[0].tensor.grad(), at::zeros({10, 4})));
  reducer.reduce();
  EXPECT_TRUE(at::equal(parameters[1].tensor.grad(), at::full({8, 3}, 6.0)));
  reducer.zero();
  EXPECT_TRUE(at::equal(parameters[1].tensor.grad(), at::zeros({8, 3})));
}

TEST(GradReducer, ALayerIsABucketAndTheyAreFilledInBackwardOrder) {
  RecordingCommunicator comm;
  auto parameters = three_parameters();
  parameters[2].layer = parameters[1].layer;
  GradReducer reducer(comm, parameters);
  ASSERT_EQ(reducer.buckets(), 2U);
  reducer.reduce();
  EXPECT_THAT(comm.sizes, ElementsAre(16 + 32, 48));
  EXPECT_EQ(comm.finished, 1);
  SoloCommunicator without_overlap;
  EXPECT_EQ(GradReducer(without_overlap, parameters).buckets(), 1U);
}

// Sums pair up by their order: it is the same on ranks whose backward pass starts them and on ranks that have none, such as
// one without documents in a short last batch.
TEST(GradReducer, WhatIsSummedBesideComesLastOnAllRanks) {
  for (const bool computes : {true, false}) {
    RecordingCommunicator comm;
    const auto parameters = three_parameters();
    GradReducer reducer(comm, parameters);
    reducer.zero();
    reducer.expect_backward();
    if (computes) (parameters[0].tensor.sum() + parameters[1].tensor.sum() + parameters[2].tensor.sum()).backward();
    at::Tensor beside = at::ones({7});
    reducer.reduce(&beside);
    EXPECT_THAT(comm.sizes, ElementsAre(16, 32, 48, 7)) << computes;
    EXPECT_TRUE(at::equal(beside, at::full({7}, 2.0)));
    EXPECT_EQ(comm.finished, 1);
  }
}

TEST(GradReducer, ABucketStartsWhenItAndAllBeforeItAreComplete) {
  RecordingCommunicator comm;
  const auto parameters = three_parameters();
  GradReducer reducer(comm, parameters);
  reducer.zero();
  parameters[2].tensor.sum().backward();  // not the last pass: nothing starts
  EXPECT_TRUE(comm.sizes.empty());
  reducer.expect_backward();
  parameters[1].tensor.sum().backward();
  EXPECT_TRUE(comm.sizes.empty());
  parameters[2].tensor.sum().backward();
  EXPECT_THAT(comm.sizes, ElementsAre(16, 32));
  reducer.reduce();  // starts the one whose gradient never came
  EXPECT_THAT(comm.sizes, ElementsAre(16, 32, 48));
  EXPECT_TRUE(at::equal(parameters[0].tensor.grad(), at::zeros({10, 4})));
  EXPECT_TRUE(at::equal(parameters[1].tensor.grad(), at::full({8, 3}, 2.0)));
  EXPECT_TRUE(at::equal(parameters[2].tensor.grad(), at::full({5}, 4.0)));
  reducer.reduce();  // the next step, without hooks: every bucket again, once
  EXPECT_EQ(comm.sizes.size(), 6U);
}

TEST(GradReducer, SumsStartDuringBackward) {
  RecordingCommunicator comm;
  const auto parameters = three_parameters();
  GradReducer reducer(comm, parameters);
  std::vector<std::size_t> started;  // sums started when backward came to the product with that factor's gradient
  const auto watched = [&](const at::Tensor& value) {
    value.register_hook([&](const at::Tensor&) { started.push_back(comm.sizes.size()); });
    return value;
  };
  const at::Tensor below = watched(parameters[0].tensor.sum() * 2);
  const at::Tensor middle = watched(below * parameters[1].tensor.sum());
  const at::Tensor top = watched(middle * parameters[2].tensor.sum());
  reducer.zero();
  reducer.expect_backward();
  top.backward();
  EXPECT_THAT(started, ElementsAre(0, 1, 2));
  EXPECT_EQ(comm.sizes.size(), 3U);
}

// Writes its gradient into the parameter itself, as the tied head and the embedding do.
struct DirectGradient : torch::autograd::Function<DirectGradient> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& weight) {
    ctx->saved_data["weight"] = weight;
    return weight.sum();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& gradients) {
    ctx->saved_data["weight"].toTensor().mutable_grad().add_(gradients[0]);
    return {at::Tensor()};
  }
};

TEST(GradReducer, AParameterUsedTwiceIsCompleteAfterBothUsesThatWriteThemselves) {
  RecordingCommunicator comm;
  const auto parameters = three_parameters();
  GradReducer reducer(comm, parameters);
  reducer.zero();
  reducer.expect_backward();
  const at::Tensor hidden = DirectGradient::apply(parameters[2].tensor) * parameters[1].tensor.sum();
  const at::Tensor loss =
      hidden + DirectGradient::apply(parameters[2].tensor) + DirectGradient::apply(parameters[0].tensor);
  loss.backward();
  EXPECT_THAT(comm.sizes, ElementsAre(16, 32, 48));
  // Doubled by the sum: had it started after the first use, the second would not have been.
  const double expected = 2 * (parameters[1].tensor.sum().item<double>() + 1);
  EXPECT_NEAR(parameters[2].tensor.grad()[0].item<double>(), expected, 1e-4);
}

// A tied matrix: used at the top of the network as `early`, at its bottom as the parameter.
struct Tied {
  Tied() {
    parameters = three_parameters();
    parameters[0].early = parameters[0].tensor.detach().requires_grad_();
  }
  // Gradients: 5 from the top and 3 * sum(hidden) from the bottom.
  void backward() const {
    const at::Tensor bottom = DirectGradient::apply(parameters[0].tensor) * 3 * parameters[1].tensor.sum();
    (bottom + DirectGradient::apply(parameters[0].early) * 5 + parameters[2].tensor.sum()).backward();
  }
  at::Tensor expected() const { return at::full({10, 4}, 5 + 3 * parameters[1].tensor.sum().item<double>()); }
  std::vector<ReducedParameter> parameters;
};

TEST(GradReducer, WhatATiedHeadAddsLeavesFirstWhereSumsOverlap) {
  RecordingCommunicator comm;
  const Tied tied;
  GradReducer reducer(comm, tied.parameters);
  std::vector<std::size_t> started;
  const at::Tensor bottom = DirectGradient::apply(tied.parameters[0].tensor);
  bottom.register_hook([&](const at::Tensor&) { started.push_back(comm.sizes.size()); });
  reducer.zero();
  reducer.expect_backward();
  DirectGradient::apply(tied.parameters[0].early).backward();
  EXPECT_THAT(comm.sizes, ElementsAre(48)) << "the head's part, alone";
  (bottom * tied.parameters[1].tensor.sum() + tied.parameters[2].tensor.sum()).backward();
  reducer.reduce();
  EXPECT_THAT(comm.sizes, ElementsAre(48, 16, 32, 48));
  const double expected = 2 * (1 + tied.parameters[1].tensor.sum().item<double>());
  EXPECT_NEAR(tied.parameters[0].tensor.grad()[9][3].item<double>(), expected, 1e-5);
}

TEST(GradReducer, ATiedParametersGradientIsTheSumOfBothUses) {
  RecordingCommunicator doubling;
  SoloCommunicator plain;
  for (const bool overlaps : {false, true}) {
    Communicator& comm = overlaps ? static_cast<Communicator&>(doubling) : plain;
    const Tied tied;
    GradReducer reducer(comm, tied.parameters);
    for (int step = 0; step < 2; ++step) {
      reducer.zero();
      tied.backward();
      reducer.expect_backward();
      tied.backward();  // two passes a step
      reducer.reduce();
      EXPECT_TRUE(at::allclose(tied.parameters[0].tensor.grad(), tied.expected() * (overlaps ? 4 : 2))) << overlaps;
    }
    EXPECT_EQ(reducer.elements(), 48 + 32 + 16 + (overlaps ? 48 : 0));
    reducer.set_trainable({false, true, true});
    EXPECT_FALSE(tied.parameters[0].early.requires_grad());
    EXPECT_FALSE(tied.parameters[0].early.grad().defined());
    reducer.set_trainable({true, true, true});
    EXPECT_TRUE(tied.parameters[0].early.requires_grad());
    EXPECT_TRUE(tied.parameters[0].early.grad().defined());
  }
}

TEST(GradReducer, OnlyTheRowsLookedUpLeaveLast) {
  RecordingCommunicator comm;
  const Tied tied;
  GradReducer reducer(comm, tied.parameters);
  const auto lookup = [&](const std::vector<std::int64_t>& rows) {
    at::embedding(tied.parameters[0].tensor, at::tensor(rows, at::kLong)).sum().backward();
  };
  for (int step = 0; step < 2; ++step) {
    comm.sizes.clear();
    reducer.zero();
    reducer.expect_lookup(at::tensor({2, 7}, at::kLong));
    reducer.expect_backward();
    DirectGradient::apply(tied.parameters[0].early).backward();
    lookup({7, 2, 7});
    reducer.reduce();
    EXPECT_THAT(comm.sizes, ElementsAre(48, 16, 32, 2 * 4)) << "two rows of four";
    at::Tensor expected = at::full({10, 4}, 2.0);
    expected[2] += 2;
    expected[7] += 4;
    EXPECT_TRUE(at::equal(tied.parameters[0].tensor.grad(), expected));
  }
  comm.sizes.clear();
  reducer.zero();
  lookup({0, 1, 2, 3, 4, 5});  // nothing is told of the rows: whole
  reducer.reduce();
  EXPECT_THAT(comm.sizes, ElementsAre(48, 16, 32, 48));
}

// In a fixed tree nothing overlaps: the bits are those of a communicator that never does.
TEST(GradReducer, AFixedTreeHasTheSameBitsWhetherSumsOverlapOrNot) {
  SoloCommunicator plain;
  RecordingCommunicator overlapping;
  std::vector<at::Tensor> found;
  for (Communicator* comm : std::initializer_list<Communicator*>{&plain, &overlapping}) {
    const Tied tied;
    GradReducer reducer(*comm, tied.parameters);
    reducer.use_fixed_tree(2);
    reducer.expect_lookup(at::arange(3, at::kLong));
    for (std::uint32_t shard = 0; shard < 2; ++shard) {
      reducer.begin_micro_batch();
      reducer.expect_backward();
      (tied.parameters[0].early * random_tensor({10, 4}, 7 + shard)).sum().backward();
      (tied.parameters[0].tensor * random_tensor({10, 4}, 9 + shard)).sum().backward();
      reducer.end_micro_batch();
    }
    reducer.reduce();
    found.push_back(tied.parameters[0].tensor.grad().clone());
  }
  EXPECT_TRUE(at::equal(found[0], found[1]));
}

TEST(GradReducer, AnEarlyLeafSharesItsParametersMemory) {
  SoloCommunicator comm;
  auto parameters = three_parameters();
  parameters[0].early = parameters[0].tensor.detach().clone().requires_grad_();
  EXPECT_THAT([&] { GradReducer(comm, parameters); },
              ThrowsMessage<CommError>(HasSubstr("parameter embedding: expected a second leaf")));
}

TEST(GradReducer, HooksEndWithTheReducer) {
  RecordingCommunicator comm;
  const auto parameters = three_parameters();
  { const GradReducer reducer(comm, parameters); }
  parameters[1].tensor.sum().backward();
  EXPECT_TRUE(comm.sizes.empty());
}

TEST(GradReducer, FrozenParametersHaveNoGradientAndAreNotSent) {
  RecordingCommunicator comm;
  const auto parameters = three_parameters();
  GradReducer reducer(comm, parameters);
  reducer.set_trainable({false, true, false});
  EXPECT_FALSE(parameters[0].tensor.grad().defined());
  EXPECT_FALSE(parameters[2].tensor.grad().defined());
  reducer.expect_backward();
  parameters[1].tensor.sum().backward();
  EXPECT_THAT(comm.sizes, ElementsAre(32));
  reducer.reduce();
  EXPECT_THAT(comm.sizes, ElementsAre(32));
  reducer.set_trainable({true, true, true});
  EXPECT_TRUE(at::equal(parameters[1].tensor.grad(), at::zeros({8, 3})));
  EXPECT_TRUE(parameters[0].tensor.grad().defined());
}

TEST(GradReducer, AllFrozenIsNoWork) {
  RecordingCommunicator comm;
  GradReducer reducer(comm, three_parameters());
  reducer.set_trainable({false, false, false});
  reducer.zero();
  reducer.reduce();
  EXPECT_TRUE(comm.sizes.empty());
}

TEST(GradReducer, ShardsAreSummedInTheTree) {
  SoloCommunicator comm;
  const auto parameters = three_parameters();
  GradReducer reducer(comm, parameters);
  reducer.use_fixed_tree(4);
  EXPECT_EQ(reducer.micro_batches_of_rank(), 4);
  for (int step = 0; step < 2; ++step) {
    std::vector<at::Tensor> shards;
    for (std::uint32_t k = 0; k < 4; ++k) {
      reducer.begin_micro_batch();
      shards.push_back(random_tensor({8, 3}, 10 + k));
      (parameters[1].tensor * shards.back()).sum().backward();
      reducer.end_micro_batch();
    }
    reducer.reduce();
    EXPECT_TRUE(at::equal(parameters[1].tensor.grad(), (shards[0] + shards[1]) + (shards[2] + shards[3])));
  }
}

TEST(GradReducer, WithoutATreeShardsAddUpInTheGradients) {
  SoloCommunicator comm;
  const auto parameters = three_parameters();
  GradReducer reducer(comm, parameters);
  for (int k = 0; k < 3; ++k) {
    reducer.begin_micro_batch();
    parameters[2].tensor.sum().backward();
    reducer.end_micro_batch();
  }
  reducer.reduce();
  EXPECT_TRUE(at::equal(parameters[2].tensor.grad(), at::full({5}, 3.0)));
}

TEST(GradReducer, MisusedTreesAreRefused) {
  SoloCommunicator comm;
  GradReducer reducer(comm, three_parameters());
  EXPECT_THAT([&] { reducer.use_fixed_tree(6); }, ThrowsMessage<CommError>(HasSubstr("6 micro-batches on 1 ranks")));
  EXPECT_THROW(reducer.use_fixed_tree(-2), CommError);
  reducer.use_fixed_tree(2);
  reducer.end_micro_batch();
  EXPECT_THROW(reducer.reduce(), std::logic_error);
  reducer.end_micro_batch();
  EXPECT_THROW(reducer.end_micro_batch(), std::logic_error);
  reducer.use_fixed_tree(0);
  EXPECT_NO_THROW(reducer.reduce());
}

TEST(GradReducer, ParametersOfAnotherKindAreNamed) {
  SoloCommunicator comm;
  auto parameters = three_parameters();
  parameters[2].tensor = at::zeros({5}, at::kDouble).requires_grad_();
  EXPECT_THAT([&] { GradReducer(comm, parameters); },
              ThrowsMessage<CommError>(AllOf(HasSubstr("parameter bias"), HasSubstr("Float on cpu as embedding"))));
  parameters[2].tensor = at::zeros({5});
  EXPECT_THROW(GradReducer(comm, parameters), CommError);
  EXPECT_THROW(GradReducer(comm, {}), CommError);
  GradReducer reducer(comm, three_parameters());
  EXPECT_THROW(reducer.set_trainable({true}), std::logic_error);
}

}  // namespace
}  // namespace ulmfit::comm
