#include "train/step_figures.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <string>
#include <utility>

#include "base/activity.h"
#include "base/error.h"
#include "model/to_device.h"

namespace ulmfit::train {

namespace {

// ((0 + 1) + (2 + 3)) + ...: with a power of two of them the rank's part of a fixed tree over all (comm/tree_sum.h).
at::Tensor sum_of(std::vector<at::Tensor> terms) {
  while (terms.size() > 1) {
    std::vector<at::Tensor> pairs;
    for (std::size_t i = 0; i < terms.size(); i += 2) {
      pairs.push_back(i + 1 < terms.size() ? terms[i] + terms[i + 1] : terms[i]);
    }
    terms = std::move(pairs);
  }
  return terms.front();
}

}  // namespace

at::Tensor figures_of_rank(const StepSums& mine, bool stop, at::Device device) {
  at::Tensor known = at::zeros({kNorm + 1}, at::kDouble);
  auto* f = known.mutable_data_ptr<double>();
  f[kTargets] = mine.targets;
  f[kItems] = mine.items;
  f[kStop] = stop ? 1 : 0;
  at::Tensor figures = model::to_device(known, device);
  if (!mine.nats.empty()) figures.select(0, kNats).copy_(sum_of(mine.nats));
  return figures;
}

void FigureQueue::add(std::int64_t step, const at::Tensor& figures) {
  if (figures.is_cpu()) {
    waiting_.push_back({step, figures, std::nullopt});
    return;
  }
  const at::Tensor on_host = at::empty(figures.sizes(), at::TensorOptions(at::kDouble).pinned_memory(true));
  on_host.copy_(figures, /*non_blocking=*/true);
  const c10::impl::VirtualGuardImpl device(figures.device().type());
  c10::Event copied(figures.device().type());
  copied.record(device.getStream(figures.device()));
  waiting_.push_back({step, on_host, std::move(copied)});
}

StepFigures FigureQueue::take() {
  const Activity activity("all-reduce");  // what it may wait for
  const Waiting oldest = std::move(waiting_.front());
  waiting_.pop_front();
  const std::string what = str("computation of step ", oldest.step);
  try {
    comm_.wait_until([&] { return !oldest.copied || oldest.copied->query(); }, what);
  } catch (const c10::Error& e) {
    throw CommError(str(comm::describe(comm_, what), " failed: ", e.what_without_backtrace()));
  }
  const auto* f = oldest.on_host.const_data_ptr<double>();
  return {oldest.step, {f[kNats], f[kTargets], f[kItems]}, f[kStop] > 0, f[kNorm]};
}

}  // namespace ulmfit::train
