#include "data_prep/prepare_corpus.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "data_prep/output_folder.h"
#include "data_prep/request.h"
#include "data_prep/split.h"
#include "data_prep/token_spool.h"

namespace ulmfit::data_prep {
namespace {

void check(const PrepareCorpusOptions& options) {
  check_share(options.valid_share);
  if (options.inputs.empty()) throw ConfigError("no input file was given");
  if (options.output.empty()) throw ConfigError("no output folder was given");
  if (options.shard_tokens < 1) throw ConfigError(str("tokens a shard must be at least 1, found ", options.shard_tokens));
}

nlohmann::json request_of(const PrepareCorpusOptions& options) {
  const auto files = [&](const std::vector<fs::path>& paths) {
    return paths.empty() ? nlohmann::json::array() : describe_files(list_files(paths, file_endings(options.format)));
  };
  nlohmann::json request = describe_text(options.text, options.vocabulary, options.vocabulary_from);
  request["inputs"] = files(options.inputs);
  request["valid_inputs"] = files(options.valid_inputs);
  request["format"] = name(options.format);
  request["text_columns"] = options.text_columns;
  request["header"] = options.header ? nlohmann::json(*options.header) : nlohmann::json();
  request["valid_share"] = options.valid_inputs.empty() ? options.valid_share : 0.0;
  request["seed"] = options.seed;
  request["shard_tokens"] = options.shard_tokens;
  return request;
}

// Reads all documents of `inputs` into the spool.
void spool_documents(CorpusSource source, TokenSpool& spool, text::CleanCounts& cleaned) {
  CorpusReader reader(std::move(source));
  RawDocument document;
  while (reader.next(document)) spool.add(std::move(document.text));
  cleaned += reader.cleaned();
}

// Validation documents: those behind the first `train_documents` when validation text was given, else drawn ones.
std::vector<bool> validation_documents(const PrepareCorpusOptions& options, const TokenSpool& spool,
                                       std::int64_t train_documents) {
  if (options.valid_inputs.empty()) return hold_out(spool.document_count(), options.valid_share, options.seed);
  std::vector<bool> valid(static_cast<std::size_t>(spool.document_count()), true);
  std::fill_n(valid.begin(), train_documents, false);
  return valid;
}

void write_splits(const TokenSpool& spool, const std::vector<bool>& valid, const std::vector<std::int32_t>& ids_of_words,
                  CorpusBuilder& builder) {
  std::vector<std::int32_t> ids;
  spool.visit([&](std::int64_t document, std::span<const std::uint32_t> words) {
    ids.clear();
    for (const std::uint32_t word : words) ids.push_back(ids_of_words[word]);
    builder.add(valid[static_cast<std::size_t>(document)] ? "valid" : "train", ids);
  });
}

// Spools, counts, splits and writes into `folder`.
PreparedCorpus build(const PrepareCorpusOptions& options, const nlohmann::json& request, const fs::path& folder) {
  PreparedCorpus result;
  const TextSetup setup = text_setup(options.text, options.vocabulary_from);
  const fs::path spool_file = folder / "tokens.spool";
  TokenSpool spool(spool_file, setup.pipeline, options.threads);
  const auto read = [&](const std::vector<fs::path>& inputs) {
    spool_documents({inputs, options.format, options.text_columns, options.header, setup.pipeline.options().fastai_rules},
                    spool, result.cleaned);
  };
  read(options.inputs);
  const std::int64_t train_documents = spool.document_count();
  if (train_documents == 0)
    throw DataError("cannot prepare a corpus: the input files hold no text; check the files and --format");
  if (!options.valid_inputs.empty()) read(options.valid_inputs);
  spool.finish();
  if (!options.valid_inputs.empty() && spool.document_count() == train_documents) {
    throw DataError("cannot prepare a corpus: the validation files hold no text; check the files and --format");
  }

  const std::vector<bool> valid = validation_documents(options, spool, train_documents);
  const auto is_train = [&](std::int64_t document) { return !valid[static_cast<std::size_t>(document)]; };
  const text::Vocabulary vocabulary =
      setup.vocabulary ? *setup.vocabulary : text::Vocabulary::build(count_words(spool, is_train), options.vocabulary);
  CorpusBuilder builder(folder, setup.pipeline, vocabulary, {}, options.shard_tokens);
  write_splits(spool, valid, vocabulary_ids(spool.words(), vocabulary), builder);
  fs::remove(spool_file);
  result.splits = builder.finish({{"request", request}, {"cleaned", describe(result.cleaned)}});
  result.vocabulary_size = vocabulary.size();
  result.text_bytes = spool.text_bytes();
  return result;
}

}  // namespace

PreparedCorpus prepare_corpus(const PrepareCorpusOptions& options) {
  check(options);
  const Stopwatch watch;
  const nlohmann::json request = request_of(options);
  if (already_prepared(options.output, {"."}, request)) {
    log::info("prepare", str(options.output.string(), " is already prepared from the same text and options"));
    PreparedCorpus result;
    result.already_prepared = true;
    return result;
  }
  PartialFolder partial(options.output);
  PreparedCorpus result = build(options, request, partial.path());
  partial.commit();
  result.seconds = watch.seconds();
  log_prepared(result.splits, result.vocabulary_size, result.cleaned, result.text_bytes, result.seconds);
  return result;
}

}  // namespace ulmfit::data_prep
