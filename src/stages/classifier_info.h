// A stage that is a classifier of texts: model::PoolingHead, the names of the classes, and what makes up a text.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/pooling_head.h"
#include "stages/head_info.h"

namespace ulmfit::stages {

struct ClassifierInfo : HeadInfo {
  static constexpr std::string_view kName = "classifier";

  std::vector<std::string> labels;  // class names in id order
  model::PoolingHeadOptions head;
  std::vector<std::string> text_columns;  // of a row, joined into one text; one: the texts are single fields
  char table_delimiter = ',';             // between the fields of the file that it was trained on
  // Where texts have several labels, or none: by class the probability from which on a text gets it, in (0, 1). Empty: a
  // text gets the most probable one.
  std::vector<double> thresholds;
  std::string label_delimiter;  // between the several labels of a training text

  bool multilabel() const { return !thresholds.empty(); }

  const HeadKind& kind() const override { return head_kind(kName); }
  void write(nlohmann::json& stage) const override;
  std::int64_t weights() const override;
  std::unique_ptr<model::Head> make(const model::AwdLstm& encoder) const override;
  void complete(reports::CardInfo& card) const override;
};

// CheckpointError if the classifiers at two paths have different classes, or one gives several labels a text and the other
// one: their probabilities cannot be averaged.
void require_same_classes(const ClassifierInfo& a, const std::string& path_a, const ClassifierInfo& b,
                          const std::string& path_b);

// The thresholds of classifiers whose probabilities are averaged: the mean of theirs.
std::vector<double> mean_thresholds(const std::vector<const ClassifierInfo*>& classifiers);

std::shared_ptr<const HeadInfo> read_classifier_info(const StageFields& fields, const model::Shape& shape);

}  // namespace ulmfit::stages
