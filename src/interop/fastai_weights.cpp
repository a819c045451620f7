#include "interop/fastai_weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "interop/pickle.h"
#include "interop/torch_file.h"
#include "interop/torch_save.h"

namespace ulmfit::interop {
namespace {

using Kind = PickleValue::Kind;
using TensorMap = std::map<std::string, at::Tensor, std::less<>>;

constexpr std::string_view kOrderedDict = "collections.OrderedDict";

// Reads one file; its errors name it.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : file_(path.string()), torch_(path) {}

  FastaiWeights read() {
    collect(state_dict());
    const std::string prefix = encoder_prefix();
    FastaiWeights weights;
    weights.kind = tensors_.contains("1.decoder.bias")                ? FastaiKind::kLanguageModel
                   : prefix == "0.module." || has_prefix("1.layers.") ? FastaiKind::kClassifier
                                                                      : FastaiKind::kEncoder;
    read_encoder(prefix, weights);
    if (weights.kind == FastaiKind::kLanguageModel) read_decoder(weights);
    if (weights.kind == FastaiKind::kClassifier) read_head(weights);
    if (!tensors_.empty()) refuse("it has ", tensors_.begin()->first, ", which no AWD-LSTM of fastai has");
    return weights;
  }

 private:
  template <class... What>
  [[noreturn]] void refuse(const What&... what) const {
    throw CheckpointError(ulmfit::str("cannot import ", file_, ": ", what...));
  }

  static bool holds_items(const PickleValue& value) { return value.kind == Kind::kDict || value.calls(kOrderedDict); }

  // Of the whole model: the file's root, or its entry "model" beside an optimizer's "opt".
  const PickleValue& state_dict() const {
    const PickleValue& root = torch_.root();
    if (!holds_items(root)) refuse("it holds no dictionary of weights (a pickled learner? save its weights by learn.save)");
    const PickleValue* model = root.find("model");
    return model != nullptr && holds_items(*model) ? *model : root;
  }

  void collect(const PickleValue& dictionary) {
    for (const auto& [key, value] : dictionary.items) {
      if (key->kind != Kind::kText) refuse("a key of its weights is no text");
      std::optional<at::Tensor> tensor = torch_.tensor(*value, key->text);
      if (!tensor) refuse(key->text, " is no tensor");
      if (!tensors_.emplace(key->text, *tensor).second) refuse(key->text, " stands there twice");
    }
    for (const auto& [name, tensor] : tensors_) {
      if (name.find("rnns.") == std::string::npos) continue;
      if (name.find(".linear.") != std::string::npos || name.find(".layers.") != std::string::npos) {
        refuse("it is a QRNN (", name, "); this program has LSTM layers alone");
      }
      if (name.ends_with("_reverse")) refuse("its layers are bidirectional (", name, ")");
    }
  }

  bool has_prefix(std::string_view prefix) const {
    const auto found = tensors_.lower_bound(prefix);
    return found != tensors_.end() && found->first.starts_with(prefix);
  }

  std::string encoder_prefix() const {
    for (const char* prefix : {"0.module.", "0.", ""}) {
      if (tensors_.contains(std::string(prefix) + "encoder.weight")) return prefix;
    }
    refuse("it has no encoder.weight: it is no language model, encoder or classifier of fastai's AWD-LSTM");
  }

  std::optional<at::Tensor> take_if(const std::string& name) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return std::nullopt;
    at::Tensor tensor = std::move(found->second);
    tensors_.erase(found);
    return tensor;
  }

  at::Tensor take(const std::string& name) {
    std::optional<at::Tensor> tensor = take_if(name);
    if (!tensor) refuse("it has no ", name);
    if (!tensor->is_floating_point()) refuse(name, " holds no floating-point numbers");
    return tensor->to(at::kFloat);
  }

  void require_shape(const at::Tensor& tensor, const std::vector<std::int64_t>& shape, const std::string& name) const {
    if (tensor.sizes() == at::IntArrayRef(shape)) return;
    refuse(name, " has the shape ", tensor.sizes(), ", expected ", at::IntArrayRef(shape));
  }

  void read_encoder(const std::string& prefix, FastaiWeights& weights) {
    const at::Tensor embedding = take(prefix + "encoder.weight");
    if (embedding.dim() != 2 || embedding.numel() == 0) refuse(prefix, "encoder.weight is no matrix of words");
    weights.vocabulary = embedding.size(0);
    weights.embedding = embedding.size(1);
    weights.tensors.emplace_back("embedding.weight", embedding);
    if (const auto again = take_if(prefix + "encoder_dp.emb.weight"); again && !again->to(at::kFloat).equal(embedding)) {
      refuse(prefix, "encoder_dp.emb.weight is not ", prefix, "encoder.weight, whose memory it shares in fastai");
    }
    std::int64_t width = weights.embedding;
    for (std::int64_t l = 0; has_prefix(str(prefix, "rnns.", l, ".")); ++l) {
      width = read_layer(str(prefix, "rnns.", l, "."), l, width, weights);
      ++weights.layers;
    }
    if (weights.layers == 0) refuse("it has no LSTM layer");
    if (width != weights.embedding) {
      refuse("its last layer is ", width, " wide, expected that of the embedding, ", weights.embedding);
    }
    if (weights.layers == 1) weights.hidden = weights.embedding;
  }

  // Returns the layer's width. `input` is that of the one before.
  std::int64_t read_layer(const std::string& prefix, std::int64_t l, std::int64_t input, FastaiWeights& weights) {
    const bool raw = tensors_.contains(prefix + "weight_hh_l0_raw");
    const at::Tensor recurrent = take(raw ? prefix + "weight_hh_l0_raw" : prefix + "module.weight_hh_l0_raw");
    take_if(prefix + "module.weight_hh_l0");  // a masked copy of the raw one
    const std::int64_t width = recurrent.dim() == 2 ? recurrent.size(1) : 0;
    if (width == 0) refuse(prefix, "weight_hh_l0_raw is no matrix");
    require_shape(recurrent, {4 * width, width}, prefix + "weight_hh_l0_raw");
    const std::string name = str("rnn.", l, ".");
    const auto add = [&](const std::string& ours, const std::string& theirs, const std::vector<std::int64_t>& shape) {
      const at::Tensor tensor = take(prefix + "module." + theirs);
      require_shape(tensor, shape, prefix + "module." + theirs);
      weights.tensors.emplace_back(name + ours, tensor);
    };
    add("weight_ih", "weight_ih_l0", {4 * width, input});
    weights.tensors.emplace_back(name + "weight_hh", recurrent);
    add("bias_ih", "bias_ih_l0", {4 * width});
    add("bias_hh", "bias_hh_l0", {4 * width});
    const bool last = !has_prefix(str(prefix.substr(0, prefix.rfind("rnns.")), "rnns.", l + 1, "."));
    if (!last && l > 0 && width != weights.hidden) {
      refuse("its layers are ", weights.hidden, " and ", width, " wide; all but the last must be alike");
    }
    if (!last) weights.hidden = width;
    return width;
  }

  void read_decoder(FastaiWeights& weights) {
    const at::Tensor& embedding = weights.tensors.front().second;
    if (const auto matrix = take_if("1.decoder.weight"); matrix && !matrix->to(at::kFloat).equal(embedding)) {
      refuse("1.decoder.weight is not the embedding: its decoder is not tied, which this program's always is");
    }
    const at::Tensor bias = take("1.decoder.bias");
    require_shape(bias, {weights.vocabulary}, "1.decoder.bias");
    weights.tensors.emplace_back("decoder.bias", bias);
  }

  // v2: 1.layers.K.0.* (batch norm) and 1.layers.K.I.weight (linear; I is 1 where its dropout is 0). v1: modules in one
  // row, 1.layers.I.*, batch norm and linear in turn.
  void read_head(FastaiWeights& weights) {
    std::map<std::vector<std::int64_t>, std::map<std::string, at::Tensor>> modules;  // by their numbers
    while (has_prefix("1.layers.")) {
      const std::string name = tensors_.lower_bound("1.layers.")->first;
      std::vector<std::int64_t> numbers;
      std::string_view rest = std::string_view(name).substr(std::string_view("1.layers.").size());
      for (std::int64_t number = 0;;) {
        const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
        if (error != std::errc{}) break;
        numbers.push_back(number);
        rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
        if (rest.empty() || rest.front() != '.') break;
        rest.remove_prefix(1);
      }
      modules[numbers][std::string(rest)] = *take_if(name);
    }
    std::int64_t k = 0;
    bool norm_before = false;
    for (auto& [numbers, module] : modules) {
      const bool norm = module.contains("running_mean");
      if (norm == norm_before) refuse("its head is no row of batch norms and linear layers in turn");
      norm ? read_norm(module, k, weights) : read_linear(module, k++, weights);
      norm_before = norm;
    }
    if (k < 1 || norm_before) refuse("its head does not end in a linear layer");
  }

  at::Tensor member(std::map<std::string, at::Tensor>& module, const std::string& name, std::int64_t k) const {
    const auto found = module.find(name);
    if (found == module.end() || !found->second.is_floating_point()) refuse("block ", k, " of its head has no ", name);
    return found->second.to(at::kFloat);
  }

  void read_norm(std::map<std::string, at::Tensor>& module, std::int64_t k, FastaiWeights& weights) {
    for (const char* name : {"weight", "bias", "running_mean", "running_var"}) {
      const at::Tensor tensor = member(module, name, k);
      if (k == 0 && weights.head_widths.empty()) weights.head_widths.push_back(3 * weights.embedding);
      require_shape(tensor, {weights.head_widths.back()}, str("batch norm ", k, " of the head, ", name));
      weights.tensors.emplace_back(str("head.", k, ".bn.", name), tensor);
    }
  }

  void read_linear(std::map<std::string, at::Tensor>& module, std::int64_t k, FastaiWeights& weights) {
    const at::Tensor matrix = member(module, "weight", k);
    if (matrix.dim() != 2) refuse("linear layer ", k, " of its head is no matrix");
    require_shape(matrix, {matrix.size(0), weights.head_widths.back()}, str("linear layer ", k, " of the head"));
    weights.tensors.emplace_back(str("head.", k, ".linear.weight"), matrix);
    const bool biased = module.contains("bias");
    if (k > 0 && biased != weights.head_bias) refuse("one linear layer of its head has a bias, another has none");
    weights.head_bias = biased;
    weights.head_widths.push_back(matrix.size(0));
    if (!biased) return;
    const at::Tensor bias = member(module, "bias", k);
    require_shape(bias, {matrix.size(0)}, str("bias of linear layer ", k, " of the head"));
    weights.tensors.emplace_back(str("head.", k, ".linear.bias"), bias);
  }

  std::string file_;
  TorchFile torch_;
  TensorMap tensors_;  // those that are left to be read
};

constexpr std::uintmax_t kMostVocabularyBytes = 64U << 20U;  // of a file, and of the words in it

// The list behind fastai's own lists (fastcore's L, CategoryMap), which keep it as `items`.
const PickleValue& plain_list(const PickleValue& value) {
  const PickleValue* list = &value;
  for (int depth = 0; depth < 8 && list->kind == Kind::kCall && list->state != nullptr; ++depth) {
    const PickleValue* items = list->state->find("items");
    if (items == nullptr) break;
    list = items;
  }
  return *list;
}

// The values of a list, or of a subclass of Python's; null: it is none.
const std::vector<Pickled>* values_of(const PickleValue& list) {
  if (list.kind == Kind::kSequence) return &list.values;
  return list.kind == Kind::kCall && !list.more.empty() ? &list.more : nullptr;
}

std::vector<std::string> texts(const std::vector<Pickled>* list, const std::string& file) {
  std::vector<std::string> words;
  std::uintmax_t bytes = 0;  // one long word may stand in many places
  const bool of_texts = list != nullptr && std::all_of(list->begin(), list->end(),
                                                       [](const Pickled& word) { return word->kind == Kind::kText; });
  if (!of_texts) throw CheckpointError(str("cannot import ", file, ": it is no list of words"));
  for (const Pickled& word : *list) {
    bytes += word->text.size();
    if (bytes > kMostVocabularyBytes) throw CheckpointError(str("cannot import ", file, ": its words are too long"));
    words.push_back(word->text);
  }
  return words;
}

FastaiVocabulary pickled_vocabulary(const std::string& bytes, const std::string& file) {
  const Pickled root = read_pickle(bytes, file);
  const std::vector<Pickled>* list = values_of(plain_list(*root));
  if (list != nullptr && list->size() == 2) {
    const auto* words = values_of(plain_list(*list->front()));
    const auto* labels = values_of(plain_list(*list->back()));
    if (words != nullptr && labels != nullptr) return {texts(words, file), texts(labels, file)};
  }
  return {texts(list, file), {}};
}

FastaiVocabulary json_vocabulary(const std::string& text, const std::string& file) {
  try {
    const nlohmann::json root = parse_json(text);
    if (root.is_array() && root.size() == 2 && root[0].is_array()) {
      return {root[0].get<std::vector<std::string>>(), root[1].get<std::vector<std::string>>()};
    }
    return {root.get<std::vector<std::string>>(), {}};
  } catch (const nlohmann::json::exception& e) {
    throw CheckpointError(str("cannot import ", file, ": it is no JSON list of words: ", e.what()));
  }
}

}  // namespace

FastaiWeights read_fastai_weights(const std::filesystem::path& pth) { return Reader(pth).read(); }

FastaiVocabulary read_fastai_vocabulary(const std::filesystem::path& file) {
  std::error_code missing;
  if (const auto size = fs::file_size(file, missing); !missing && size > kMostVocabularyBytes) {
    throw CheckpointError(str("cannot import ", file.string(), ": a vocabulary of ", size, " bytes"));
  }
  const std::string bytes = read_file(file);
  if (!bytes.empty() && static_cast<unsigned char>(bytes[0]) == 0x80) return pickled_vocabulary(bytes, file.string());
  if (file.extension() == ".json") return json_vocabulary(bytes, file.string());
  return {read_lines(file), {}};
}

void write_fastai_weights(const std::filesystem::path& pth, const FastaiWeights& weights) {
  const std::map<std::string, at::Tensor> ours(weights.tensors.begin(), weights.tensors.end());
  NamedTensors theirs;
  const char* prefix = weights.kind == FastaiKind::kEncoder         ? ""
                       : weights.kind == FastaiKind::kLanguageModel ? "0."
                                                                    : "0.module.";
  const auto add = [&](const std::string& name, const std::string& from) { theirs.emplace_back(name, ours.at(from)); };
  add(str(prefix, "encoder.weight"), "embedding.weight");
  add(str(prefix, "encoder_dp.emb.weight"), "embedding.weight");
  for (std::int64_t l = 0; l < weights.layers; ++l) {
    add(str(prefix, "rnns.", l, ".weight_hh_l0_raw"), str("rnn.", l, ".weight_hh"));
    for (const char* name : {"weight_ih", "bias_ih", "bias_hh"}) {
      add(str(prefix, "rnns.", l, ".module.", name, "_l0"), str("rnn.", l, ".", name));
    }
  }
  if (weights.kind == FastaiKind::kLanguageModel) {
    add("1.decoder.weight", "embedding.weight");
    add("1.decoder.bias", "decoder.bias");
  }
  const std::size_t blocks = weights.head_widths.empty() ? 0 : weights.head_widths.size() - 1;
  for (std::size_t k = 0; k < blocks; ++k) {
    // Modules of v2's blocks: batch norm, dropout, linear; of v1's row: the same and ReLU.
    const std::string norm = weights.head_bias ? str("1.layers.", 4 * k, ".") : str("1.layers.", k, ".0.");
    const std::string linear = weights.head_bias ? str("1.layers.", 4 * k + 2, ".") : str("1.layers.", k, ".2.");
    for (const char* name : {"weight", "bias", "running_mean", "running_var"}) {
      add(norm + name, str("head.", k, ".bn.", name));
    }
    theirs.emplace_back(norm + "num_batches_tracked", at::zeros({}, at::kLong));
    add(linear + "weight", str("head.", k, ".linear.weight"));
    if (weights.head_bias) add(linear + "bias", str("head.", k, ".linear.bias"));
  }
  write_state_dict(pth, theirs);
}

void write_fastai_vocabulary(const std::filesystem::path& pkl, const FastaiVocabulary& vocabulary) {
  std::vector<std::vector<std::string>> lists{vocabulary.words};
  if (!vocabulary.labels.empty()) lists.push_back(vocabulary.labels);
  write_file_atomic(pkl, pickled_texts(lists));
}

}  // namespace ulmfit::interop
