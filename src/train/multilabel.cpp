#include "train/multilabel.h"

#include <ATen/ATen.h>

#include <span>

namespace ulmfit::train {
namespace {

at::Tensor as_tensor(std::span<const std::int32_t> numbers) {
  return at::tensor(std::vector<std::int64_t>(numbers.begin(), numbers.end()), at::kLong);
}

}  // namespace

at::Tensor class_table(const data::LabelSets& sets, std::int64_t classes) {
  at::Tensor table = at::zeros({static_cast<std::int64_t>(sets.size()), classes}, at::kFloat);
  auto* row = table.mutable_data_ptr<float>();
  for (const auto& set : sets) {
    for (const std::int32_t c : set) row[c] = 1;
    row += classes;
  }
  return table;
}

at::Tensor multilabel_loss(const at::Tensor& logits, const at::Tensor& given, const at::Tensor& table) {
  return at::binary_cross_entropy_with_logits(logits, table.index_select(0, given), /*weight=*/{}, /*pos_weight=*/{},
                                              at::Reduction::Mean);
}

Evaluation evaluate_multilabel(const at::Tensor& logits, const data::ShardSet& shards, const data::LabelSets& sets,
                               const std::vector<std::string>& labels, const std::string& split) {
  const auto classes = static_cast<std::int64_t>(labels.size());
  const std::span<const std::int32_t> given = shards.labels();
  const at::Tensor probabilities = at::sigmoid(logits).contiguous();
  const reports::MultilabelAnswers answers{
      {probabilities.const_data_ptr<float>(), static_cast<std::size_t>(probabilities.numel())}, labels.size(), given, sets};
  Evaluation result;
  result.multilabel = reports::count_decisions(answers, labels, reports::best_thresholds(answers), split);
  const reports::MultilabelMetrics metrics = reports::multilabel_metrics(*result.multilabel);
  // In double precision and of the logits: a probability that rounds to 1 would have no finite loss.
  result.score =
      multilabel_loss(logits.to(at::kDouble), as_tensor(given), class_table(sets, classes).to(at::kDouble)).item<double>();
  result.values = {{"loss", result.score},
                   {"error", metrics.error},
                   {"micro_f1", metrics.micro_f1},
                   {"macro_f1", metrics.macro_f1},
                   {"documents", static_cast<double>(given.size())}};
  return result;
}

}  // namespace ulmfit::train
