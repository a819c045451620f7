#include "model/document_pooling.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>

#include "model/linear_cross_entropy.h"
#include "model/to_device.h"

namespace ulmfit::model {
namespace {

constexpr std::int64_t kParts = 4;  // of the last window

// The running pools of the documents that have joined so far, [b, E] each; undefined before the first window.
struct Pools {
  at::Tensor maximum;
  at::Tensor sum;

  // Adds what a window of all documents so far, and of those that join with it, gives.
  void add(const at::Tensor& max_now, const at::Tensor& sum_now) {
    if (!maximum.defined()) {
      maximum = max_now;
      sum = sum_now;
      return;
    }
    grow(max_now.size(0));
    maximum = at::maximum(maximum, max_now);
    sum = sum + sum_now;
  }

  void grow(std::int64_t columns) {
    const std::int64_t joined = columns - maximum.size(0);
    if (joined == 0) return;
    const at::Tensor none = at::zeros({joined, maximum.size(1)}, maximum.options());
    maximum = at::cat({maximum, none - std::numeric_limits<float>::infinity()});
    sum = at::cat({sum, none});
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

LstmState selected(const LstmState& state, const at::Tensor& columns) {
  LstmState out;
  for (const auto& h : state.h) out.h.push_back(h.index_select(0, columns));
  for (const auto& c : state.c) out.c.push_back(c.index_select(0, columns));
  return out;
}

std::int64_t gradient_windows(const Bpt3cOptions& options) {
  return std::max<std::int64_t>(options.length / options.window, 1);
}

void add(at::Tensor& sum, const at::Tensor& term) { sum = sum.defined() ? sum + term : term; }

struct Columns {
  std::vector<std::size_t> order;     // documents by decreasing number of windows; in the last by decreasing length in it
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

// The token after each of window_tokens; -1 behind a document's end, and for its last.
at::Tensor tokens_after(std::span<const std::vector<std::int64_t>* const> documents, const Columns& columns,
                        std::int64_t back, std::int64_t T, std::int64_t active, std::int64_t window) {
  at::Tensor y = at::full({T, active}, -1, at::kLong);
  auto* out = y.mutable_data_ptr<std::int64_t>();
  for (std::int64_t b = 0; b < active; ++b) {
    const auto at_column = static_cast<std::size_t>(b);
    const auto& tokens = *documents[columns.order[at_column]];
    const std::int64_t first = (columns.windows[at_column] - back) * window + 1;
    const std::int64_t count = std::min(T, static_cast<std::int64_t>(tokens.size()) - first);
    for (std::int64_t t = 0; t < count; ++t) out[t * active + b] = tokens[static_cast<std::size_t>(first + t)];
  }
  return y;
}

// Columns by decreasing length in the last window.
std::vector<std::int64_t> by_length(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int64_t> columns(lengths.size());
  std::iota(columns.begin(), columns.end(), std::int64_t{0});
  std::stable_sort(columns.begin(), columns.end(), [&](auto a, auto b) {
    return lengths[static_cast<std::size_t>(a)] > lengths[static_cast<std::size_t>(b)];
  });
  return columns;
}

template <class Value>
std::vector<Value> selected(const std::vector<Value>& values, const std::vector<std::int64_t>& columns) {
  std::vector<Value> out;
  for (const std::int64_t column : columns) out.push_back(values[static_cast<std::size_t>(column)]);
  return out;
}

// One batch on its way through its windows.
class Passage {
 public:
  Passage(const AwdLstm& encoder, std::span<const std::vector<std::int64_t>* const> documents,
          const std::vector<LstmWeights>& weights, const Bpt3cOptions& options, const DropoutRates& rates,
          const MaskKey* key, ActivationSums* sums, NextTokenLoss* next_tokens)
      : encoder_(encoder),
        documents_(documents),
        weights_(weights),
        options_(options),
        rates_(rates),
        key_(key),
        sums_(sums),
        next_tokens_(next_tokens),
        gradient_windows_(gradient_windows(options)),
        columns_(sort_columns(documents, options.window)) {}

  at::Tensor pooled() {
    const bool wanted = at::GradMode::is_enabled();
    for (std::int64_t back = columns_.windows.front(); back > 1; --back) {
      const at::AutoGradMode mode(wanted && back <= gradient_windows_);
      whole_window(back);
    }
    return last_window(start_last_window());
  }

 private:
  // The tokens of the documents that window `back` (counted from the end) has, [T, active]; the state has grown to them.
  at::Tensor start_window(std::int64_t back) {
    const auto active = std::count_if(columns_.windows.begin(), columns_.windows.end(), [&](auto n) { return n >= back; });
    back_ = back;
    if (options_.detach) state_ = state_.detached();
    state_ = grown(encoder_, state_, active);
    return to_device(window_tokens(documents_, columns_, back, active, options_.window, lengths_), encoder_.device());
  }

  void whole_window(std::int64_t back) {
    const at::Tensor top = forward(start_window(back));
    if (wants_sums()) add_sums(top, at::Tensor());
    if (wants_next_tokens()) add_next_tokens(top);
    if (options_.pool_all || back <= gradient_windows_) pools_.add(std::get<0>(top.max(0)), top.sum(0));
  }

  // All documents are there now; those that end last come first. Their tokens, [T, B].
  at::Tensor start_last_window() {
    const at::Tensor x = start_window(1);
    const std::vector<std::int64_t> sorted = by_length(lengths_);
    const at::Tensor order = to_device(at::tensor(sorted, at::kLong), encoder_.device());
    columns_ = {selected(columns_.order, sorted), selected(columns_.windows, sorted)};
    lengths_ = selected(lengths_, sorted);
    state_ = selected(state_, order);
    before_ = {};  // the columns that have a window before this one, and its end
    for (std::size_t b = 0; last_.defined() && b < sorted.size(); ++b) {
      if (sorted[b] >= last_.size(0)) continue;
      before_.columns.push_back(static_cast<std::int64_t>(b));
      before_.rows.push_back(sorted[b]);
    }
    if (pools_.maximum.defined()) {
      pools_.grow(x.size(1));
      pools_ = {pools_.maximum.index_select(0, order), pools_.sum.index_select(0, order)};
    }
    return x.index_select(1, order);
  }

  // In parts, after each of which the documents that have ended leave: so little padding is computed.
  at::Tensor last_window(const at::Tensor& x) {
    std::vector<at::Tensor> features;  // of the documents that left, [n, 3 E]; the first to leave are the last columns
    auto running = static_cast<std::int64_t>(documents_.size());
    const at::Tensor lengths = to_device(at::tensor(lengths_, at::kLong), encoder_.device());
    // With gradients each part would cost a pass over all of theirs.
    const std::int64_t part = at::GradMode::is_enabled() ? options_.window : (options_.window + kParts - 1) / kParts;
    for (std::int64_t first = 0, T = 0; running > 0; first += T) {
      const std::int64_t shortest = lengths_[static_cast<std::size_t>(running - 1)];
      T = std::min((shortest + part - 1) / part * part, x.size(0)) - first;
      state_ = state_.narrow(0, running);
      const at::Tensor top = forward(x.narrow(0, first, T).narrow(1, 0, running));
      const at::Tensor length = lengths.narrow(0, 0, running) - first;
      const at::Tensor padding = at::arange(T, length.options()).unsqueeze(1).ge(length).unsqueeze(2);  // [T, running, 1]
      pools_.add(std::get<0>(top.masked_fill(padding, -std::numeric_limits<float>::infinity()).max(0)),
                 top.masked_fill(padding, 0).sum(0));
      if (wants_sums()) add_sums(top, padding);  // with gradients there is one part
      if (wants_next_tokens()) add_next_tokens(top);

      const auto stay = std::count_if(lengths_.begin(), lengths_.begin() + running, [&](auto n) { return n > first + T; });
      const std::int64_t leave = running - stay;
      const at::Tensor end = (length.narrow(0, stay, leave) - 1).view({1, leave, 1}).expand({1, leave, top.size(2)});
      features.push_back(
          at::cat({top.narrow(1, stay, leave).gather(0, end).squeeze(0), pools_.maximum.narrow(0, stay, leave),
                   pools_.sum.narrow(0, stay, leave) / pooled_tokens(stay, leave)},
                  1));
      pools_ = {pools_.maximum.narrow(0, 0, stay), pools_.sum.narrow(0, 0, stay)};
      running = stay;
    }
    std::reverse(features.begin(), features.end());
    std::vector<std::int64_t> place(documents_.size());
    for (std::size_t b = 0; b < place.size(); ++b) place[columns_.order[b]] = static_cast<std::int64_t>(b);
    return at::cat(features).index_select(0, to_device(at::tensor(place, at::kLong), encoder_.device()));
  }

  bool wants_sums() const { return sums_ != nullptr && at::GradMode::is_enabled(); }
  bool wants_next_tokens() const { return next_tokens_ != nullptr && at::GradMode::is_enabled(); }

  void add_next_tokens(const at::Tensor& top) {
    const at::Tensor y = tokens_after(documents_, columns_, back_, top.size(0), top.size(1), options_.window);
    if (y.le(-1).all().item<bool>()) return;  // documents of one token
    add(next_tokens_->loss,
        linear_cross_entropy(top.flatten(0, 1), encoder_.embedding(), next_tokens_->bias,
                             to_device(y.flatten(), encoder_.device()), next_tokens_->scale, encoder_.precision())
            .loss);
  }

  // `padding`: of the last window, as top; undefined in those before.
  void add_sums(const at::Tensor& top, const at::Tensor& padding) {
    const std::int64_t T = top.size(0);
    const auto without = [&](const at::Tensor& values, std::int64_t first) {
      return padding.defined() ? values.masked_fill(padding.narrow(0, first, T - first), 0) : values;
    };
    add(sums_->squares, without(top, 0).square().sum());
    at::Tensor changes = without(top.narrow(0, 1, T - 1) - top.narrow(0, 0, T - 1), 1).square().sum();
    if (last_.defined()) {
      at::Tensor start = top[0];
      at::Tensor end = last_;
      if (padding.defined()) {
        start = start.index_select(0, to_device(at::tensor(before_.columns, at::kLong), encoder_.device()));
        end = end.index_select(0, to_device(at::tensor(before_.rows, at::kLong), encoder_.device()));
      } else {
        start = start.narrow(0, 0, end.size(0));
      }
      changes = changes + (start - end).square().sum();
    }
    add(sums_->changes, changes);
    last_ = top[T - 1];
  }

  // The top layer's output over x [T, active], from the state on, which moves on.
  at::Tensor forward(const at::Tensor& x) {
    std::optional<MaskKey> key;
    if (key_ != nullptr) {
      key = MaskKey{key_->seed, key_->step, {}, options_.window_masks ? static_cast<std::uint32_t>(back_ - 1) : 0};
      for (std::int64_t b = 0; b < x.size(1); ++b) {
        key->streams.push_back(key_->streams[columns_.order[static_cast<std::size_t>(b)]]);
      }
    }
    EncoderOutput out = encoder_.forward(x, state_, weights_, rates_, key ? &*key : nullptr);
    state_ = std::move(out.next);
    return out.top;
  }

  // Pooled tokens of columns [first, first + count), [count, 1].
  at::Tensor pooled_tokens(std::int64_t first, std::int64_t count) const {
    std::vector<float> counts;
    for (auto b = static_cast<std::size_t>(first); b < static_cast<std::size_t>(first + count); ++b) {
      auto pooled = static_cast<std::int64_t>(documents_[columns_.order[b]]->size());
      if (!options_.pool_all)
        pooled -= std::max<std::int64_t>(columns_.windows[b] - gradient_windows_, 0) * options_.window;
      counts.push_back(static_cast<float>(pooled));
    }
    return to_device(at::tensor(counts), encoder_.device()).unsqueeze(1);
  }

  const AwdLstm& encoder_;
  std::span<const std::vector<std::int64_t>* const> documents_;
  const std::vector<LstmWeights>& weights_;
  const Bpt3cOptions& options_;
  const DropoutRates& rates_;
  const MaskKey* key_;
  ActivationSums* sums_;
  NextTokenLoss* next_tokens_;
  std::int64_t gradient_windows_;
  std::int64_t back_ = 1;  // the window under way, counted from the end
  Columns columns_;
  LstmState state_;
  Pools pools_;
  std::vector<std::int64_t> lengths_;  // of the columns in the window
  at::Tensor last_;  // output at the end of the window before, of the columns that it had, if gradients reach it
  struct {
    std::vector<std::int64_t> columns;  // of the last window
    std::vector<std::int64_t> rows;     // of last_
  } before_;
};

}  // namespace

at::Tensor pool_documents(const AwdLstm& encoder, std::span<const std::vector<std::int64_t>* const> documents,
                          const std::vector<LstmWeights>& weights, const Bpt3cOptions& options, const DropoutRates& rates,
                          const MaskKey* key, ActivationSums* sums, NextTokenLoss* next_tokens) {
  return Passage(encoder, documents, weights, options, rates, key, sums, next_tokens).pooled();
}

std::int64_t reached_tokens(std::int64_t n, const Bpt3cOptions& options) {
  const std::int64_t windows = (n + options.window - 1) / options.window;
  return n - std::max<std::int64_t>(windows - gradient_windows(options), 0) * options.window;
}

}  // namespace ulmfit::model
