#include "model/document_pooling.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>

namespace ulmfit::model {
namespace {

// The running pools of the documents that have joined so far, [b, E] each; undefined before the first window.
struct Pools {
  at::Tensor maximum;
  at::Tensor sum;

  void add(const at::Tensor& max_now, const at::Tensor& sum_now) {
    if (!maximum.defined()) {
      maximum = max_now;
      sum = sum_now;
      return;
    }
    const std::int64_t before = maximum.size(0);
    const std::int64_t joined = max_now.size(0) - before;
    const at::Tensor old_max = at::maximum(maximum, max_now.narrow(0, 0, before));
    const at::Tensor old_sum = sum + sum_now.narrow(0, 0, before);
    maximum = joined == 0 ? old_max : at::cat({old_max, max_now.narrow(0, before, joined)});
    sum = joined == 0 ? old_sum : at::cat({old_sum, sum_now.narrow(0, before, joined)});
  }
};

// `state` with zero rows appended for documents that join.
LstmState grown(const AwdLstm& encoder, const LstmState& state, std::int64_t columns) {
  if (state.h.empty()) return encoder.zero_state(columns);
  const std::int64_t joined = columns - state.h[0].size(0);
  if (joined == 0) return state;
  const LstmState fresh = encoder.zero_state(joined);
  LstmState out;
  for (std::size_t l = 0; l < state.h.size(); ++l) {
    out.h.push_back(at::cat({state.h[l], fresh.h[l]}));
    out.c.push_back(at::cat({state.c[l], fresh.c[l]}));
  }
  return out;
}

struct Columns {
  std::vector<std::size_t> order;     // documents by decreasing number of windows
  std::vector<std::int64_t> windows;  // of each, in that order
};

Columns sort_columns(std::span<const std::vector<std::int64_t>* const> documents, std::int64_t window) {
  Columns columns;
  columns.order.resize(documents.size());
  std::iota(columns.order.begin(), columns.order.end(), std::size_t{0});
  const auto count = [&](std::size_t i) { return (static_cast<std::int64_t>(documents[i]->size()) + window - 1) / window; };
  std::stable_sort(columns.order.begin(), columns.order.end(), [&](auto a, auto b) { return count(a) > count(b); });
  for (const std::size_t i : columns.order) columns.windows.push_back(count(i));
  return columns;
}

// Tokens of window `back` counted from the end (1: the last) of the first `active` columns, [T, active]; padded with 0
// behind.
at::Tensor window_tokens(std::span<const std::vector<std::int64_t>* const> documents, const Columns& columns,
                         std::int64_t back, std::int64_t active, std::int64_t window, std::vector<std::int64_t>& lengths) {
  lengths.assign(static_cast<std::size_t>(active), window);
  for (std::size_t b = 0; back == 1 && b < lengths.size(); ++b) {
    lengths[b] = static_cast<std::int64_t>(documents[columns.order[b]]->size()) - (columns.windows[b] - 1) * window;
  }
  const std::int64_t T = *std::max_element(lengths.begin(), lengths.end());
  at::Tensor x = at::zeros({T, active}, at::kLong);
  auto* out = x.mutable_data_ptr<std::int64_t>();
  for (std::int64_t b = 0; b < active; ++b) {
    const auto at_column = static_cast<std::size_t>(b);
    const auto& tokens = *documents[columns.order[at_column]];
    const std::int64_t first = (columns.windows[at_column] - back) * window;
    for (std::int64_t t = 0; t < lengths[at_column]; ++t) out[t * active + b] = tokens[static_cast<std::size_t>(first + t)];
  }
  return x;
}

}  // namespace

at::Tensor pool_documents(const AwdLstm& encoder, std::span<const std::vector<std::int64_t>* const> documents,
                          const std::vector<LstmWeights>& weights, const Bpt3cOptions& options, const DropoutRates& rates,
                          const MaskKey* key) {
  const Columns columns = sort_columns(documents, options.window);
  const std::int64_t gradient_windows = std::max<std::int64_t>(options.length / options.window, 1);
  const at::Device device = encoder.device();
  const bool wanted = at::GradMode::is_enabled();

  LstmState state;
  Pools pools;
  at::Tensor last;
  std::vector<std::int64_t> lengths;
  for (std::int64_t back = columns.windows.front(); back >= 1; --back) {
    const auto active = std::count_if(columns.windows.begin(), columns.windows.end(), [&](auto n) { return n >= back; });
    const at::Tensor x = window_tokens(documents, columns, back, active, options.window, lengths).to(device);
    std::optional<MaskKey> window_key;
    if (key != nullptr) {
      window_key = MaskKey{key->seed, key->step, {}};
      for (std::int64_t b = 0; b < active; ++b) {
        window_key->streams.push_back(key->streams[columns.order[static_cast<std::size_t>(b)]]);
      }
    }
    const at::AutoGradMode mode(wanted && back <= gradient_windows);
    if (options.detach) state = state.detached();
    const EncoderOutput out =
        encoder.forward(x, grown(encoder, state, active), weights, rates, window_key ? &*window_key : nullptr);
    state = out.next;
    const bool pooled = options.pool_all || back <= gradient_windows;
    if (back > 1) {
      if (pooled) pools.add(std::get<0>(out.top.max(0)), out.top.sum(0));
      continue;
    }
    const at::Tensor length = at::tensor(lengths, at::kLong).to(device);
    const at::Tensor padding = at::arange(x.size(0), length.options()).unsqueeze(1).ge(length).unsqueeze(2);  // [T, B, 1]
    pools.add(std::get<0>(out.top.masked_fill(padding, -std::numeric_limits<float>::infinity()).max(0)),
              out.top.masked_fill(padding, 0).sum(0));
    const at::Tensor index = (length - 1).view({1, active, 1}).expand({1, active, out.top.size(2)});
    last = out.top.gather(0, index).squeeze(0);
  }

  std::vector<float> counts;
  std::vector<std::int64_t> place(documents.size());
  for (std::size_t b = 0; b < documents.size(); ++b) {
    auto tokens = static_cast<std::int64_t>(documents[columns.order[b]]->size());
    if (!options.pool_all) tokens -= std::max<std::int64_t>(columns.windows[b] - gradient_windows, 0) * options.window;
    counts.push_back(static_cast<float>(tokens));
    place[columns.order[b]] = static_cast<std::int64_t>(b);
  }
  const at::Tensor mean = pools.sum / at::tensor(counts).to(device).unsqueeze(1);
  return at::cat({last, pools.maximum, mean}, 1).index_select(0, at::tensor(place, at::kLong).to(device));
}

}  // namespace ulmfit::model
