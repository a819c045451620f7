// What is asked of a study.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "data_prep/prepare_labelled.h"

namespace ulmfit::study {

inline constexpr const char* kLowShot = "low-shot";
inline constexpr const char* kAblation = "ablation";

using Values = std::vector<std::pair<std::string, std::string>>;  // options and their values, as a pipeline has them

// Paths of sources and models are absolute: pipelines run in the study's folder.
struct Request {
  std::string kind;                           // kLowShot, kAblation
  std::filesystem::path output;               // the study's folder
  data_prep::PrepareLabelledOptions sources;  // train, test, and what else there is; how they are read
  Values given_sources;                       // the same as options of prepare-labelled
  std::vector<std::string> from;              // one language model, or one of each direction
  std::string vanilla;                        // ablation: a language model without dropout; empty: none
  std::string general;                        // ablation: text of the general domain; empty: none
  std::vector<std::int64_t> labels;           // low-shot: sizes of the subsets, rising
  std::int64_t seeds = 1;                     // 1 to this
  Values compute;                             // options of whatever computes: device, precision, threads
};

}  // namespace ulmfit::study
