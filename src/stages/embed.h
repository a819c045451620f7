// Texts as vectors: what the layers of a finished stage make of them, pooled over each text.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "base/named_values.h"
#include "config/option_set.h"
#include "stages/options.h"
#include "stages/requests.h"

namespace ulmfit::stages {

enum class Pooling { kConcat, kLast, kMax, kMean };
inline constexpr Named<Pooling> kPoolings[] = {
    {Pooling::kConcat, "concat"}, {Pooling::kLast, "last"}, {Pooling::kMax, "max"}, {Pooling::kMean, "mean"}};

enum class VectorFormat { kSafetensors, kNpy, kJsonl };
inline constexpr Named<VectorFormat> kVectorFormats[] = {
    {VectorFormat::kSafetensors, "safetensors"}, {VectorFormat::kNpy, "npy"}, {VectorFormat::kJsonl, "jsonl"}};

struct EmbedOptions {
  std::string model;
  RequestOptions requests;
  std::string output;                   // file
  std::optional<VectorFormat> vectors;  // by default, by the output's ending
  std::vector<std::int64_t> layers;     // 0: words; 1 ...: LSTM layers; none: the last
  Pooling pooling = Pooling::kConcat;
  std::int64_t batch_size = 64;
  ComputeOptions compute;
  void declare(config::OptionSet& set);
};

struct Embedded {
  std::int64_t texts = 0;
  std::int64_t width = 0;
};

// A row for each text in their order: for each layer asked for, over its tokens, [last, max, mean] or one of them; of a
// backward model, last is at the text's begin. Kept in memory until all texts are
// read. Written whole or not at all: a matrix [texts, width] float32 called
// `vectors`, or a line {"vector": [...]} a text. Throws DataError for a text that cannot be read.
Embedded embed(const EmbedOptions& options, at::Device device, std::istream& in);

}  // namespace ulmfit::stages
