// The weights of fastai's text models as fastai saves them (v1 from 1.0.40 on, v2), and as this program names them:
//
//   embedding.weight; rnn.L.weight_ih, .weight_hh, .bias_ih, .bias_hh; decoder.bias;
//   head.K.bn.weight, .bias, .running_mean, .running_var; head.K.linear.weight, .bias
//
// Gates are in the same order on both sides: input, forget, cell, output.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "interop/safetensors.h"

namespace ulmfit::interop {

enum class FastaiKind { kEncoder, kLanguageModel, kClassifier };

struct FastaiWeights {
  FastaiKind kind = FastaiKind::kEncoder;
  NamedTensors tensors;  // float32 on the CPU, under this program's names
  std::int64_t vocabulary = 0;
  std::int64_t embedding = 0;
  std::int64_t hidden = 0;  // width of the layers but the last; of a single layer, the embedding's
  std::int64_t layers = 0;
  std::vector<std::int64_t> head_widths;  // of a classifier: features, ..., classes
  bool head_bias = false;                 // v1's linear layers have one
};

// A .pth of learn.save, save_encoder or torch.save of a state dict, with or without an optimizer's state. The recurrent
// weights are the raw ones: a masked copy beside them (v1) is passed over. Throws FileError; CheckpointError for what is no
// such file, for QRNNs, bidirectional layers, an untied decoder, and for shapes that do not fit together.
FastaiWeights read_fastai_weights(const std::filesystem::path& pth);

// The names by id, and of a classifier's [words, classes] the classes too.
struct FastaiVocabulary {
  std::vector<std::string> words;
  std::vector<std::string> labels;
};

// A pickled list (plain, or fastai's own), a JSON list (.json), or a text of one word a line. Throws FileError;
// CheckpointError for anything else.
FastaiVocabulary read_fastai_vocabulary(const std::filesystem::path& file);

// Under fastai's names and in its order of keys: of a language model, what learn.load and pretrained_fnames of v2 read; of
// an encoder, load_encoder; of a classifier, learn.load. A head with a bias is written as v1 names it, which v1 alone
// reads. Whole or not at all; FileError.
void write_fastai_weights(const std::filesystem::path& pth, const FastaiWeights& weights);

// A pickled list of the words; with labels, of both lists.
void write_fastai_vocabulary(const std::filesystem::path& pkl, const FastaiVocabulary& vocabulary);

}  // namespace ulmfit::interop
