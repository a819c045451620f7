// One training step on the GPU is the step on the CPU: same weights, batches and masks, gradients equal to rounding.
#include <ATen/ATen.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "comm/solo_communicator.h"
#include "model/dropout.h"
#include "model/flat_weights.h"
#include "model/gpu_kernels.h"
#include "optim/gradient_norm.h"
#include "optim/optimizer.h"
#include "stages/compute.h"
#include "stages/softmax_options.h"
#include "tests/gpu/device.h"
#include "tests/support/corpora.h"
#include "tests/support/model_checks.h"
#include "tests/support/temp_dir.h"
#include "train/checkpoint_store.h"
#include "train/classifier_task.h"
#include "train/lm_task.h"

namespace ulmfit::train {
namespace {

using test::relative_difference;
using test::same_bits;

// float32 by other kernels and in another order of sums; one step, so nothing has grown.
constexpr double kRounding = 1e-4;

struct Gradients {
  StepSums sums;
  std::vector<std::string> names;
  std::vector<at::Tensor> values;  // on the CPU
};

double nats(const Gradients& of) {
  double sum = 0;
  for (const at::Tensor& of_micro_batch : of.sums.nats) sum += of_micro_batch.item<double>();
  return sum;
}

Gradients first_step(Task& task, comm::Communicator& comm) {
  comm::GradReducer reducer(comm, task.reduced_parameters());
  task.seek({});
  Gradients found{task.accumulate_gradients({}, reducer), {}, {}};
  reducer.reduce();
  for (const auto& group : task.groups()) {
    for (const auto& p : group.parameters) {
      found.names.push_back(p.name);
      found.values.push_back(p.tensor.grad().cpu());
    }
  }
  return found;
}

void expect_equal(const Gradients& found, const Gradients& expected) {
  EXPECT_NEAR(nats(found), nats(expected), kRounding * nats(expected));
  EXPECT_EQ(found.sums.targets, expected.sums.targets);
  ASSERT_EQ(found.names, expected.names);
  for (std::size_t i = 0; i < found.names.size(); ++i) {
    EXPECT_GT(expected.values[i].abs().max().item<float>(), 0) << found.names[i];
    EXPECT_LE(relative_difference(found.values[i], expected.values[i]), kRounding) << found.names[i];
  }
}

class GpuStep : public test::DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    stages::use_precision(stages::Arithmetic::kFp32, device_);
  }

  // Two shards, all dropouts on.
  Gradients language_model(at::Device device, const stages::SoftmaxOptions& softmax = {},
                           model::Precision precision = model::Precision::kFloat32) const {
    comm::SoloCommunicator comm(device);
    model::AwdLstm model({400, 24, 40, 3}, 1, device);
    model.set_precision(precision);
    const auto head = softmax.make(model, 1);
    LmTaskOptions options;
    options.streams.streams = 8;
    options.streams.bptt = 12;
    LmTask task(model, *head, corpus_, nullptr, options, {2, 0, 2}, comm);
    return first_step(task, comm);
  }
  Gradients classifier(at::Device device) const {
    comm::SoloCommunicator comm(device);
    model::AwdLstm encoder({400, 24, 40, 3}, 1, device);
    model::PoolingHead head({{72, 10, 3}, {.window = 16}}, 1, device);
    ClassifierTaskOptions options;
    options.batches.batch_size = 6;
    ClassifierTask task(encoder, head, corpus_, nullptr, options, {1, 0, 1}, comm);
    return first_step(task, comm);
  }

  test::TempDir dir_;
  data::ShardSet corpus_ = test::counting_corpus(dir_.path(), {90, 40, 120, 60, 15, 75}, data::kShardTokens, true);
};

TEST_F(GpuStep, OfALanguageModelIsThatOfTheCpu) { expect_equal(language_model(device_), language_model(at::kCPU)); }

TEST_F(GpuStep, WithApproximateSoftmaxesIsThatOfTheCpu) {
  const stages::SoftmaxOptions adaptive{.kind = stages::SoftmaxKind::kAdaptive, .cutoffs = {50, 170}, .samples = 0};
  expect_equal(language_model(device_, adaptive), language_model(at::kCPU, adaptive));
  const stages::SoftmaxOptions sampled{.kind = stages::SoftmaxKind::kSampled, .cutoffs = {}, .samples = 90};
  expect_equal(language_model(device_, sampled), language_model(at::kCPU, sampled));
}

TEST_F(GpuStep, InBfloat16IsNearThatInFloat32) {
  if (device_.is_cuda() && !at::detail::getCUDAHooks().supportsBFloat16RNNWithCuDNN()) GTEST_SKIP() << "no bfloat16 here";
  const Gradients rounded = language_model(device_, {}, model::Precision::kBfloat16), whole = language_model(device_);
  EXPECT_NEAR(nats(rounded), nats(whole), 1e-3 * nats(whole));
  for (std::size_t i = 0; i < whole.names.size(); ++i) {
    EXPECT_LE(relative_difference(rounded.values[i], whole.values[i]), 0.03) << whole.names[i];
  }
}

TEST_F(GpuStep, OfAClassifierIsThatOfTheCpu) { expect_equal(classifier(device_), classifier(at::kCPU)); }

TEST_F(GpuStep, HasTheSameBitsAgainInReproducibleMode) {
  stages::reproducible_kernels(true, device_.type());
  const Gradients one = language_model(device_);
  const Gradients other = language_model(device_);
  stages::reproducible_kernels(false, device_.type());
  for (std::size_t i = 0; i < one.names.size(); ++i) EXPECT_TRUE(same_bits(one.values[i], other.values[i])) << one.names[i];
}

TEST_F(GpuStep, MasksHaveTheBitsOfTheCpu) {
  const model::MaskKey key{0xFEDCBA9876543210, (1ULL << 33) + 5, {0, 3, 0xFFFFFF}, 2};
  const auto locked = [&](at::Device device) {
    return model::locked_mask(key, Purpose::kHiddenDropout, 1, 0.3, 1153, device).cpu();
  };
  EXPECT_TRUE(same_bits(locked(device_), locked(at::kCPU)));
  // Of the paper's size, which takes each thread of a kernel more than one turn; and the gradient's, drawn again.
  const std::int64_t rows = 4608, columns = 1152;
  const at::Tensor mask = model::shared_mask(key, Purpose::kWeightDropout, 2, 0.2, rows, columns);
  const auto zeros = [&](at::IntArrayRef shape) { return at::zeros(shape, at::TensorOptions(device_)); };
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor weight = at::ones({rows, columns}, at::TensorOptions(device_)).requires_grad_(true);
    const model::WeightMask draws{model::draws_of_shared_mask(key, Purpose::kWeightDropout, 2), 0.2};
    const at::Tensor masked =
        model::flat_weights({zeros({rows, 1}), weight, zeros({rows}), zeros({rows})}, draws, type).weight_hh;
    EXPECT_TRUE(same_bits(masked.cpu(), mask.to(type))) << type;
    torch::autograd::backward({masked.sum()}, {});
    EXPECT_TRUE(same_bits(weight.grad().cpu(), mask)) << type;
  }
  const auto embedded = [&](at::Device device) {
    const at::Tensor ids = at::arange(3000, at::TensorOptions(device).dtype(at::kLong)).reshape({60, 50});
    return model::embed(ids, at::ones({3000, 4}, at::TensorOptions(device)), 0.4, &key).cpu();
  };
  EXPECT_TRUE(same_bits(embedded(device_), embedded(at::kCPU)));
}

// Compiled for this GPU, and found to compute what libtorch's operators do; the log says why not.
TEST_F(GpuStep, HasKernelsOfOurs) {
  if (!device_.is_cuda() && std::getenv("ULMFIT_TEST_KERNELS") == nullptr) return;
  EXPECT_NE(model::kernels_on(device_), nullptr);
}

// "RNN module weights are not part of single contiguous chunk of memory": each call would copy them.
TEST_F(GpuStep, FindsTheWeightsWhereCudnnWantsThem) {
  struct Collect : c10::WarningHandler {
    void process(const c10::Warning& warning) override { said += warning.msg(); }
    std::string said;
  } collect;
  const c10::WarningUtils::WarningHandlerGuard guard(&collect);
  for (const auto precision : {model::Precision::kFloat32, model::Precision::kBfloat16}) {
    model::AwdLstm model({100, 400, 1152, 2}, 1, device_);  // cuDNN has another way for narrow ones
    model.set_precision(precision);
    const at::Tensor x = at::zeros({3, 2}, at::TensorOptions(device_).dtype(at::kLong));
    const model::MaskKey key{1, 1, {0, 1}};
    model.forward(x, model.zero_state(2), model.batch_weights(0.2, &key), {}, &key);
  }
  EXPECT_EQ(collect.said.find("contiguous chunk"), std::string::npos) << collect.said;
}

TEST_F(GpuStep, OfTheOptimizerIsThatOfTheCpu) {
  const auto after_five_steps = [](at::Device device) {
    model::AwdLstm model({50, 8, 12, 2}, 1, device);
    const model::SoftmaxHead head(model);
    optim::Optimizer optimizer(head.groups(model), {});
    for (int step = 0; step < 5; ++step) {
      std::int64_t number = step;
      for (const auto& group : optimizer.groups()) {
        for (const auto& p : group.parameters) {
          at::Tensor(p.tensor).mutable_grad() = test::closed_form(number += 5, p.tensor.sizes(), 0.3).to(device);
        }
      }
      const auto gradients = optim::gradients(optimizer.groups());
      optim::clip_(gradients, optim::global_norm(gradients).item<double>(), 0.25);
      optimizer.step({0.01, 0.02, 0.03}, 0.8);
    }
    std::vector<at::Tensor> weights;
    for (const auto& [name, tensor] : model::tensors_of(model, head)) weights.push_back(tensor.cpu());
    return weights;
  };
  const auto found = after_five_steps(device_);
  const auto expected = after_five_steps(at::kCPU);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_LE(relative_difference(found[i], expected[i]), 1e-6) << i;
}

TEST_F(GpuStep, ACheckpointHoldsTheWeightsOfTheGpu) {
  const model::AwdLstm model({50, 8, 12, 2}, 1, device_);
  Snapshot snapshot;
  snapshot.step = 7;
  for (const auto& p : model.parameters()) snapshot.model.emplace_back(p.name, p.tensor.detach());
  CheckpointStore store(dir_.path() / "checkpoints", {});
  store.prepare(snapshot);
  store.save(snapshot);
  ASSERT_TRUE(store.finish());
  const Snapshot loaded = store.load(7);
  ASSERT_EQ(loaded.model.size(), snapshot.model.size());
  for (std::size_t i = 0; i < loaded.model.size(); ++i) {
    EXPECT_TRUE(same_bits(loaded.model[i].second, snapshot.model[i].second.cpu())) << loaded.model[i].first;
  }
}

}  // namespace
}  // namespace ulmfit::train
