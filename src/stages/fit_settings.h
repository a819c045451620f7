// What `ulmfit fit` sets, from what is known of the texts and of the model, each setting with its reason.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/shape.h"

namespace ulmfit::stages {

struct FitFacts {
  std::int64_t lm_tokens = 0;    // to tune the language model on
  std::int64_t texts = 0;        // to train the classifier on
  std::int64_t valid_texts = 0;  // to validate it on
  std::int64_t ranks = 1;
  bool pretrained = true;  // else both are trained from scratch, and the shape is chosen
  model::Shape shape;      // of the pretrained model
};

struct Setting {
  std::string key;  // of finetune-lm or train-classifier
  std::string value;
  std::string reason;
};

std::vector<Setting> language_model_settings(const FitFacts& facts);
std::vector<Setting> classifier_settings(const FitFacts& facts);

}  // namespace ulmfit::stages
