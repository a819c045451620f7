#include "perf/bench_rnn.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <functional>

#include "base/machine.h"
#include "base/stopwatch.h"
#include "model/awd_lstm.h"
#include "reports/number_format.h"
#include "stages/compute.h"

namespace ulmfit::perf {
namespace {

constexpr std::int64_t kWords = 256;  // their lookup costs little beside the layer

using Weights = std::vector<model::LstmWeights>;
using Pass = std::function<at::Tensor()>;

double microseconds(const Pass& pass) {
  const Stopwatch watch;
  static_cast<void>(pass().flatten()[0].item<float>());  // waits on a GPU
  return watch.seconds() * 1e6;
}

// Of a time step, by the repeats behind a first pass, which makes what stays.
Spread time_of(const BenchRnnOptions& options, const Pass& pass) {
  std::vector<double> times;
  for (std::int64_t i = 0; i <= options.repeats; ++i) {
    const double time = microseconds(pass);
    if (i > 0) times.push_back(time / static_cast<double>(options.bptt));
  }
  return spread(std::move(times));
}

// By how much a call of `other` is longer than one of `pass` just before, so that what disturbs one disturbs the other.
Spread longer_by(const BenchRnnOptions& options, const Pass& pass, const Pass& other) {
  std::vector<double> longer;
  for (std::int64_t i = 0; i <= options.repeats; ++i) {
    const double time = microseconds(pass);
    const double other_time = microseconds(other);
    if (i > 0) longer.push_back(other_time - time);
  }
  return spread(std::move(longer));
}

// Made once, in one buffer or each in memory of its own.
Weights kept_weights(const model::AwdLstm& layer, bool apart) {
  const at::NoGradGuard no_grad;
  Weights weights = layer.batch_weights(0, nullptr);
  for (model::LstmWeights& of_layer : weights) {
    for (at::Tensor* weight : {&of_layer.weight_ih, &of_layer.weight_hh, &of_layer.bias_ih, &of_layer.bias_hh}) {
      *weight = apart ? weight->clone() : weight->detach();
      weight->requires_grad_(true);
    }
  }
  return weights;
}

// libtorch warns at each call whose weights lie apart.
struct Silence : c10::WarningHandler {
  void process(const c10::Warning& /*warning*/) override {}
};

}  // namespace

RnnTimes measure_rnn(const BenchRnnOptions& options, std::int64_t width, std::int64_t columns, model::Precision precision,
                     at::Device device) {
  model::AwdLstm layer({kWords, width, width, 1}, static_cast<std::uint64_t>(options.run.seed), device);
  layer.set_precision(precision);
  const at::Tensor x =
      at::arange(options.bptt * columns, at::kLong).mul_(7).remainder_(kWords).view({-1, columns}).to(device);
  const model::LstmState state = layer.zero_state(columns);
  const auto parameters = layer.parameters();
  for (const auto& parameter : parameters) parameter.tensor.mutable_grad() = at::zeros_like(parameter.tensor);
  const auto forward = [&](const std::function<Weights()>& weights) -> Pass {
    return [&, weights] {
      const at::NoGradGuard no_grad;
      return layer.forward(x, state, weights(), {}, nullptr).top;
    };
  };
  const auto with_backward = [&](const std::function<Weights()>& weights) -> Pass {
    return [&, weights] {
      for (const auto& parameter : parameters) parameter.tensor.mutable_grad().zero_();
      torch::autograd::backward({layer.forward(x, state, weights(), {}, nullptr).top.sum()}, {});
      return parameters.back().tensor.grad();
    };
  };

  const auto as_in_training = [&] { return layer.batch_weights(0, nullptr); };
  RnnTimes times;
  times.forward = time_of(options, forward(as_in_training));
  times.with_backward = time_of(options, with_backward(as_in_training));
  if (device.is_cpu()) return times;
  Silence silence;
  const c10::WarningUtils::WarningHandlerGuard silenced(&silence);
  const auto together = [kept = kept_weights(layer, false)] { return kept; };
  const auto apart = [kept = kept_weights(layer, true)] { return kept; };
  times.apart = {longer_by(options, forward(together), forward(apart)),
                 longer_by(options, with_backward(together), with_backward(apart))};
  return times;
}

void BenchRnnOptions::declare(config::OptionSet& set) {
  set.add("widths", widths, "widths of the layer, its input as wide as its output", {.min = 1, .max = 1 << 16});
  set.add("columns", columns, "streams or documents side by side", {.min = 1, .max = 1 << 20});
  set.add("bptt", bptt, "time steps of a pass", {.min = 1, .max = 100000});
  set.add("repeats", repeats, "passes that count, after a first one", {.min = 1, .max = 1e6});
  run.compute.declare(set);
  set.add("train.seed", run.seed, "of the weights", {.min = 0});
  set.add_alias("seed", "train.seed");
}

Measured bench_rnn(const BenchRnnOptions& options, comm::Communicator& comm) {
  if (comm.size() > 1) throw ConfigError("bench rnn: one rank has one layer; run it outside mpirun");
  const model::Precision precision = stages::use_precision(options.run.compute.precision, comm.device());
  const auto arithmetic =
      name_in(stages::kArithmetics, stages::arithmetic_on(comm.device(), options.run.compute.precision));
  const double peak = product_peak(comm.device(), product_type(precision));
  nlohmann::json line = {{"bench", "rnn"},     {"precision", arithmetic},           {"bptt", options.bptt},
                         {"cpu", cpu_model()}, {"product_peak_gflops", peak / 1e9}, {"sizes", nlohmann::json::array()}};
  if (!comm.device().is_cpu()) line["gpu"] = comm.processor();
  Table table(str("bench rnn: one LSTM layer, ", options.bptt, " time steps, ", arithmetic, "; microseconds a time step; ",
                  stages::describe_compute(comm)));
  for (const std::int64_t width : options.widths) {
    for (const std::int64_t columns : options.columns) {
      const RnnTimes times = measure_rnn(options, width, columns, precision, comm.device());
      const double flop = encoder_training_flop({kWords, width, width, 1}) * static_cast<double>(columns);
      const double share = flop / (times.with_backward.median * 1e-6) / peak;
      nlohmann::json size = {{"width", width}, {"columns", columns}, {"share_of_peak", share}};
      add_spread(size, "forward_us", times.forward);
      add_spread(size, "forward_backward_us", times.with_backward);
      table.add(str(width, " wide, ", columns, " columns"),
                str("forward ", describe(times.forward), "; with backward ", describe(times.with_backward), ", ",
                    reports::percent(share), " of large products"));
      if (times.apart) {
        add_spread(size, "apart_forward_call_us", times.apart->forward);
        add_spread(size, "apart_forward_backward_call_us", times.apart->with_backward);
        table.add("  its weights apart", str("a call of all steps is longer by ", describe(times.apart->forward),
                                             "; with backward ", describe(times.apart->with_backward)));
      }
      line["sizes"].push_back(std::move(size));
    }
  }
  return {line, table.text()};
}

}  // namespace ulmfit::perf
