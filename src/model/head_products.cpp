#include "model/head_products.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>

namespace ulmfit::model {
namespace {

using at::native::cpublas::brgemm;

constexpr std::int64_t kWords = 256;  // of a panel
constexpr std::int64_t kRows = 128;  // of the left factor at once: with a panel and the result about the second-level cache

// Runs body(panel, first word, words) for every panel, on all threads.
template <class Body>
void for_panels(std::int64_t vocabulary, const Body& body) {
  at::parallel_for(0, (vocabulary + kWords - 1) / kWords, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) body(p, p * kWords, std::min(kWords, vocabulary - p * kWords));
    at::native::cpublas::brgemm_release(/*is_vnni=*/false);
  });
}

}  // namespace

HeadProducts::HeadProducts(const at::Tensor& weight) : weight_(weight.detach()) {
  const std::int64_t vocabulary = weight.size(0);
  const std::int64_t panels = (vocabulary + kWords - 1) / kWords;
  packed_ = at::empty({panels, weight.size(1), kWords}, weight_.options());
  const std::int64_t whole = vocabulary / kWords;
  const at::Tensor full = weight_.narrow(0, 0, whole * kWords).view({whole, kWords, weight.size(1)});
  packed_.narrow(0, 0, whole).copy_(full.transpose(1, 2));
  if (whole == panels) return;
  at::Tensor last = packed_[whole].zero_();
  last.narrow(1, 0, vocabulary - whole * kWords).copy_(weight_.narrow(0, whole * kWords, vocabulary - whole * kWords).t());
}

void HeadProducts::logits(const at::Tensor& hidden, at::Tensor& logits) const {
  const std::int64_t n = hidden.size(0), width = hidden.size(1), vocabulary = weight_.size(0);
  const auto* a = hidden.const_data_ptr<float>();
  const auto* b = packed_.const_data_ptr<float>();
  auto* c = logits.mutable_data_ptr<float>();
  for_panels(vocabulary, [&](std::int64_t panel, std::int64_t word, std::int64_t words) {
    for (std::int64_t r = 0; r < n; r += kRows) {
      brgemm(std::min(kRows, n - r), words, width, width, kWords, vocabulary, /*add_C=*/false, a + r * width,
             b + panel * width * kWords, c + r * vocabulary + word, /*is_vnni=*/false);
    }
  });
}

void HeadProducts::hidden_gradient(const at::Tensor& gradient, at::Tensor& hidden_gradient) const {
  constexpr std::int64_t kPart = 64;  // rows: several parts for several threads
  const std::int64_t n = gradient.size(0), width = weight_.size(1), vocabulary = weight_.size(0);
  const auto* a = gradient.const_data_ptr<float>();
  const auto* b = weight_.const_data_ptr<float>();
  auto* c = hidden_gradient.mutable_data_ptr<float>();
  at::parallel_for(0, (n + kPart - 1) / kPart, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t word = 0; word < vocabulary; word += kWords) {
      for (std::int64_t r = begin * kPart; r < std::min(end * kPart, n); r += kPart) {
        brgemm(std::min(kPart, n - r), width, std::min(kWords, vocabulary - word), vocabulary, width, width,
               /*add_C=*/word > 0, a + r * vocabulary + word, b + word * width, c + r * width, /*is_vnni=*/false);
      }
    }
    at::native::cpublas::brgemm_release(/*is_vnni=*/false);
  });
}

void HeadProducts::add_weight_gradient(const at::Tensor& gradient, const at::Tensor& hidden) {
  const std::int64_t n = hidden.size(0), width = hidden.size(1), vocabulary = weight_.size(0);
  const bool first = !sums_.defined();
  if (first) sums_ = at::empty_like(packed_);
  const at::Tensor turned = hidden.t().contiguous();  // [E, n]
  const auto* a = turned.const_data_ptr<float>();
  const auto* b = gradient.const_data_ptr<float>();
  auto* c = sums_.mutable_data_ptr<float>();
  for_panels(vocabulary, [&](std::int64_t panel, std::int64_t word, std::int64_t words) {
    for (std::int64_t e = 0; e < width; e += kRows) {
      brgemm(std::min(kRows, width - e), words, n, n, vocabulary, kWords, /*add_C=*/!first, a + e * n, b + word,
             c + (panel * width + e) * kWords, /*is_vnni=*/false);
    }
  });
}

void HeadProducts::finish(at::Tensor weight_gradient) const {
  if (!sums_.defined()) return;
  const std::int64_t vocabulary = weight_.size(0), width = weight_.size(1);
  const std::int64_t whole = vocabulary / kWords, rest = vocabulary - whole * kWords;
  weight_gradient.narrow(0, 0, whole * kWords).view({whole, kWords, width}).add_(sums_.narrow(0, 0, whole).transpose(1, 2));
  if (rest > 0) weight_gradient.narrow(0, whole * kWords, rest).add_(sums_[whole].narrow(1, 0, rest).t());
}

}  // namespace ulmfit::model
