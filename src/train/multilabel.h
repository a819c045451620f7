// What a classifier learns where texts have several labels, or none: for each class, whether a text has it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "data/label_sets.h"
#include "data/shard_reader.h"
#include "train/task.h"

namespace ulmfit::train {

// [sets, classes] float32: 1 where the set has the class, else 0.
at::Tensor class_table(const data::LabelSets& sets, std::int64_t classes);

// Binary cross-entropy, the mean over texts and classes (fastai's BCEWithLogitsLossFlat), of logits [texts, classes]; a
// tensor of one value. Row t of `table` is that of the set `given[t]` (whole numbers).
at::Tensor multilabel_loss(const at::Tensor& logits, const at::Tensor& given, const at::Tensor& table);

// Of the logits of a split's documents, in their order, on the CPU: the loss, thresholds that are the best on these very
// texts, and the figures at them.
Evaluation evaluate_multilabel(const at::Tensor& logits, const data::ShardSet& shards, const data::LabelSets& sets,
                               const std::vector<std::string>& labels, const std::string& split);

}  // namespace ulmfit::train
