#include "stages/embed.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "interop/safetensors.h"
#include "stages/classifier_info.h"
#include "stages/compute.h"
#include "stages/encode.h"
#include "stages/requests.h"
#include "stages/stage_folder.h"

namespace ulmfit::stages {
namespace {

constexpr std::int64_t kWindow = 70;

VectorFormat format_of(const EmbedOptions& options) {
  if (options.vectors) return *options.vectors;
  const std::string ending = fs::path(options.output).extension().string();
  if (ending == ".safetensors") return VectorFormat::kSafetensors;
  if (ending == ".npy") return VectorFormat::kNpy;
  if (ending == ".jsonl") return VectorFormat::kJsonl;
  throw ConfigError(str("cannot tell the format of --output=", options.output,
                        " by its ending; give --vectors=safetensors, npy or jsonl"));
}

std::vector<std::size_t> layers_of(const EmbedOptions& options, std::int64_t layers) {
  if (options.layers.empty()) return {static_cast<std::size_t>(layers)};
  std::vector<std::size_t> chosen;
  for (const std::int64_t layer : options.layers) {
    if (layer > layers) throw ConfigError(str("--layers=", layer, ": the model has layers 0 (its words) to ", layers));
    chosen.push_back(static_cast<std::size_t>(layer));
  }
  return chosen;
}

// Last, max and sum of one layer's output over the tokens of each document, window by window.
struct Pools {
  at::Tensor last, max, sum;  // [B, W]

  // out [t, b, W]: of the first b documents, of all at first; inside [t, b]: the token is one of the document's; ends [t,
  // b]: it is its last.
  void add(const at::Tensor& out, const at::Tensor& inside, const at::Tensor& ends) {
    const at::Tensor kept = inside.unsqueeze(2);
    const at::Tensor highest =
        std::get<0>(out.masked_fill(kept.logical_not(), -std::numeric_limits<float>::infinity()).max(0));
    const at::Tensor total = (out * kept).sum(0);
    const at::Tensor at_end = (out * ends.unsqueeze(2)).sum(0);
    if (!max.defined()) {
      max = highest;
      sum = total;
      last = at_end;
      return;
    }
    at::Tensor max_so_far = max.narrow(0, 0, out.size(1));
    at::maximum_out(max_so_far, max_so_far, highest);
    sum.narrow(0, 0, out.size(1)).add_(total);
    last.narrow(0, 0, out.size(1)).add_(at_end);
  }

  at::Tensor row(Pooling pooling, const at::Tensor& lengths) const {
    const at::Tensor mean = sum / lengths.unsqueeze(1);
    switch (pooling) {
      case Pooling::kLast:
        return last;
      case Pooling::kMax:
        return max;
      case Pooling::kMean:
        return mean;
      case Pooling::kConcat:
        break;
    }
    return at::cat({last, max, mean}, 1);
  }
};

// [n, b]: tokens [first, first + n) of the first b documents, zeros behind their ends.
at::Tensor window_of(const std::vector<const std::vector<std::int64_t>*>& documents, std::int64_t b, std::int64_t first,
                     std::int64_t n) {
  at::Tensor tokens = at::zeros({b, n}, at::kLong);
  for (std::int64_t column = 0; column < b; ++column) {
    const std::vector<std::int64_t>& document = *documents[static_cast<std::size_t>(column)];
    const std::int64_t count = std::min(n, static_cast<std::int64_t>(document.size()) - first);
    std::copy_n(document.begin() + first, count, tokens[column].mutable_data_ptr<std::int64_t>());
  }
  return tokens.t().contiguous();
}

// [B, width] of documents that begin together; what stands behind a document's end changes none of its own outputs. The
// longest comes first, and a column leaves when its document has ended: one long text costs its neighbours nothing.
at::Tensor vectors_of(const TrainedModel& model, const std::vector<model::LstmWeights>& weights,
                      const std::vector<std::vector<std::int64_t>>& given, const std::vector<std::size_t>& layers,
                      Pooling pooling) {
  std::vector<std::int64_t> order(given.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const auto length_of = [&](std::int64_t d) {
    return static_cast<std::int64_t>(given[static_cast<std::size_t>(d)].size());
  };
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return length_of(a) > length_of(b); });
  std::vector<const std::vector<std::int64_t>*> documents;
  std::vector<std::int64_t> lengths;
  for (const std::int64_t d : order) {
    documents.push_back(&given[static_cast<std::size_t>(d)]);
    lengths.push_back(length_of(d));
  }
  const at::Device device = model.encoder->device();
  const at::Tensor length = at::tensor(lengths, at::kLong).to(device);
  auto columns = static_cast<std::int64_t>(given.size());
  model::LstmState state = model.encoder->zero_state(columns);
  std::vector<Pools> pools(layers.size());
  for (std::int64_t first = 0; first < lengths.front(); first += kWindow) {
    while (lengths[static_cast<std::size_t>(columns) - 1] <= first) --columns;
    const std::int64_t count = std::min(kWindow, lengths.front() - first);
    const model::EncoderOutput out =
        model.encoder->forward(window_of(documents, columns, first, count).to(device), state.narrow(0, columns), weights,
                               {}, nullptr, /*keep_layers=*/true);
    state = out.next;
    const at::Tensor place = at::arange(first, first + count, length.options()).unsqueeze(1);
    const at::Tensor ends = length.narrow(0, 0, columns);
    for (std::size_t i = 0; i < layers.size(); ++i) pools[i].add(out.layers[layers[i]], place < ends, place == ends - 1);
  }
  std::vector<at::Tensor> parts;
  for (const Pools& pool : pools) parts.push_back(pool.row(pooling, length.to(at::kFloat)));
  const at::Tensor sorted = at::cat(parts, 1).cpu();
  return at::empty_like(sorted).index_copy_(0, at::tensor(order, at::kLong), sorted);
}

// Version 1.0 of NumPy's format: magic, a header that is a Python dictionary padded to 64 bytes, the values.
void write_npy(OutputFile& file, const at::Tensor& rows) {
  std::string header = str("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows.size(0), ", ", rows.size(1), "), }");
  const std::size_t before = 10;  // magic, version, length
  header.append((64 - (before + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  std::string start = "\x93NUMPY";
  start += {'\x01', '\0', static_cast<char>(header.size() & 0xFFU), static_cast<char>(header.size() >> 8U)};
  file.write(start + header);
  file.write(rows.const_data_ptr(), static_cast<std::size_t>(rows.numel()) * sizeof(float));
}

void write_jsonl(OutputFile& file, const at::Tensor& rows) {
  for (std::int64_t i = 0; i < rows.size(0); ++i) {
    const at::Tensor row = rows[i].contiguous();
    const auto* values = row.const_data_ptr<float>();
    file.write(nlohmann::json({{"vector", std::vector<float>(values, values + row.numel())}}).dump() + "\n");
  }
}

void write_vectors(const EmbedOptions& options, const at::Tensor& rows) {
  const fs::path partial = options.output + ".partial";
  OutputFile file(partial);
  switch (format_of(options)) {
    case VectorFormat::kSafetensors:
      interop::write_safetensors(file, {{"vectors", rows}}, {});
      break;
    case VectorFormat::kNpy:
      write_npy(file, rows);
      break;
    case VectorFormat::kJsonl:
      write_jsonl(file, rows);
  }
  file.sync();
  file.close();
  rename_synced(partial, options.output);
}

std::vector<std::string> text_columns_of(const TrainedModel& model) {
  const auto* classifier = model.info.head_info_as<ClassifierInfo>();
  return classifier != nullptr ? classifier->text_columns : std::vector<std::string>{"text"};
}

}  // namespace

void EmbedOptions::declare(config::OptionSet& set) {
  set.add("model", model, "a finished stage: a language model or a classifier");
  set.require("model");
  requests.declare(set);
  set.add("output", output, "file for the vectors");
  set.require("output");
  set.add("vectors", vectors, kVectorFormats, "format of --output; auto: by its ending");
  set.add("layers", layers, "0: the words' embeddings; 1, 2 ...: LSTM layers, one behind the other; none: the last",
          {.min = 0});
  set.add("pool", pooling, kPoolings, "over the tokens of a text: last state, maximum and mean, or one of them");
  set.add("batch-size", batch_size, "texts at once", {.min = 1, .max = 65536});
  compute.declare(set);
}

Embedded embed(const EmbedOptions& asked_for, at::Device device, std::istream& in) {
  const at::NoGradGuard no_grad;
  EmbedOptions options = asked_for;
  format_of(options);
  if (fs::exists(options.output)) {
    throw ConfigError(str("--output=", options.output, " is there; remove it, or give another name"));
  }
  const TrainedModel model = read_stage(options.model, device);
  model.encoder->set_precision(use_precision(options.compute.precision, device));
  const std::vector<std::size_t> layers = layers_of(options, model.info.shape.layers);
  const auto weights = model.encoder->batch_weights(0, nullptr);
  if (const auto* classifier = model.info.head_info_as<ClassifierInfo>()) {
    options.requests.table.choose_delimiter(classifier->table_delimiter);
  }
  const auto reader = open_requests(options.requests, text_columns_of(model), in);
  std::vector<at::Tensor> rows;
  std::int64_t number = 0;
  for (bool more = true; more;) {
    std::vector<std::vector<std::int64_t>> documents;
    Request request;
    while (static_cast<std::int64_t>(documents.size()) < options.batch_size && (more = reader->next(request))) {
      ++number;
      if (!request.error.empty()) throw DataError(str("cannot embed text ", number, ": ", request.error));
      documents.push_back(encode(model, request.text).ids);
    }
    if (!documents.empty()) rows.push_back(vectors_of(model, weights, documents, layers, options.pooling));
  }
  if (rows.empty()) throw DataError("there is no text to embed");
  const at::Tensor all = at::cat(rows).contiguous();
  write_vectors(options, all);
  return {all.size(0), all.size(1)};
}

}  // namespace ulmfit::stages
