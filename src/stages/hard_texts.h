// The texts of a split whose label classifiers find least likely: hard ones, or wrong labels.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "data/shard_reader.h"
#include "reports/classification_metrics.h"
#include "stages/evaluate.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {

// As many as `options.top_losses`, the highest loss first. `probabilities`: [documents, classes], the mean of the models'.
std::vector<reports::HardText> hardest_texts(const std::vector<TrainedModel>& models, const at::Tensor& probabilities,
                                             const data::ShardSet& shards, const std::vector<std::string>& labels,
                                             const EvaluateOptions& options);

}  // namespace ulmfit::stages
