#include "data_prep/prepare_labelled.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/partial_folder.h"
#include "base/stopwatch.h"
#include "data_prep/corpus_builder.h"
#include "data_prep/input_files.h"
#include "data_prep/labelled_set.h"
#include "data_prep/output_folder.h"
#include "data_prep/request.h"
#include "data_prep/split.h"

namespace ulmfit::data_prep {
namespace {

void check(const PrepareLabelledOptions& options) {
  check_share(options.valid_share);
  if (options.train.empty()) throw ConfigError("no training file was given");
  if (options.output.empty()) throw ConfigError("no output folder was given");
  if (options.columns.label.empty()) throw ConfigError("no label column was given");
  if (options.include_test_text && options.test.empty()) {
    throw ConfigError("the test text is to be included in the language model's text, but no test file was given");
  }
  if (options.shard_tokens < 1) throw ConfigError(str("tokens a shard must be at least 1, found ", options.shard_tokens));
}

nlohmann::json request_of(const PrepareLabelledOptions& options) {
  const auto file = [](const fs::path& path) {
    return path.empty() ? nlohmann::json() : describe_files(list_files({path})).front();
  };
  const auto format = [&](const fs::path& path) {
    return path.empty() ? "" : name_in(kLabelledFormats, options.format ? *options.format : labelled_format_of(path));
  };
  nlohmann::json request = describe_text(options.text, options.vocabulary, options.known);
  request["train"] = file(options.train);
  request["valid"] = file(options.valid);
  request["test"] = file(options.test);
  request["formats"] = {format(options.train), format(options.valid), format(options.test)};
  request["unlabelled"] = nlohmann::json::array();
  for (const fs::path& path : options.unlabelled) {
    const CorpusFormat kind = unlabelled_format(options, path);
    request["unlabelled"].push_back(
        {{"files", describe_files(list_files({path}, file_endings(kind)))}, {"format", name_in(kCorpusFormats, kind)}});
  }
  request["unlabelled_text_columns"] = options.unlabelled_text_columns;
  request["text_columns"] = options.columns.text;
  request["label_column"] = options.columns.label;
  request["group_column"] = options.columns.group;
  request["header"] = options.columns.header ? nlohmann::json(*options.columns.header) : nlohmann::json();
  request["valid_share"] = options.valid.empty() ? options.valid_share : 0.0;
  request["include_test_text"] = options.include_test_text;
  request["seed"] = options.seed;
  request["shard_tokens"] = options.shard_tokens;
  return request;
}

// Moves a share of the training texts to the validation split.
void hold_out_validation(LabelledSet& set, double share, std::uint64_t seed) {
  std::vector<std::int32_t> labels, groups;
  std::vector<std::size_t> documents;
  for (std::size_t d = 0; d < set.documents.size(); ++d) {
    if (set.documents[d].split != Split::kTrain) continue;
    documents.push_back(d);
    labels.push_back(set.documents[d].label);
    groups.push_back(set.documents[d].group);
  }
  const std::vector<bool> held_out = hold_out_by_label(labels, groups, share, seed);
  for (std::size_t i = 0; i < documents.size(); ++i) {
    if (held_out[i]) set.documents[documents[i]].split = Split::kValid;
  }
}

LabelledSet read_set(const PrepareLabelledOptions& options, TokenSpool& spool, text::CleanCounts& cleaned) {
  LabelledSetReader reader(options, spool);
  reader.read_labelled(options.train, Split::kTrain);
  if (!options.valid.empty()) reader.read_labelled(options.valid, Split::kValid);
  if (!options.test.empty()) reader.read_labelled(options.test, Split::kTest);
  reader.read_unlabelled();
  spool.finish();
  cleaned = reader.cleaned();
  LabelledSet set = reader.take();
  check_labels(set);
  if (options.valid.empty() && options.valid_share > 0) hold_out_validation(set, options.valid_share, options.seed);
  return set;
}

// The split of the language model's corpus that a text belongs to; empty: none.
std::string lm_split(Split split, bool include_test_text) {
  if (split == Split::kValid) return "valid";
  if (split == Split::kTest && !include_test_text) return "";
  return "train";
}

// Writes both corpora and counts the tokens of each split.
void write_corpora(const PrepareLabelledOptions& options, const TokenSpool& spool, const LabelledSet& set,
                   const text::TextPipeline& pipeline, const text::Vocabulary& vocabulary, const nlohmann::json& provenance,
                   const fs::path& folder, PrepareReport& report) {
  CorpusBuilder lm(folder / "lm", pipeline, vocabulary, {}, options.shard_tokens);
  CorpusBuilder labelled(folder / "labelled", pipeline, vocabulary, set.labels, options.shard_tokens);
  const std::vector<std::int32_t> ids_of_words = vocabulary_ids(spool.words(), vocabulary);
  std::vector<std::int32_t> ids;
  spool.visit([&](std::int64_t document, std::span<const std::uint32_t> words) {
    const LabelledDocument& d = set.documents[static_cast<std::size_t>(document)];
    ids.clear();
    for (const std::uint32_t word : words) ids.push_back(ids_of_words[word]);
    SplitSummary& summary = report.splits[name(d.split)];
    summary.count(ids, vocabulary);
    if (const std::string split = lm_split(d.split, options.include_test_text); !split.empty()) lm.add(split, ids);
    if (d.label >= 0) labelled.add(name(d.split), ids, d.label);
  });
  for (CorpusBuilder* corpus : {&lm, &labelled}) {
    corpus->finish_shards();
    corpus->describe(provenance);
  }
}

PreparedLabelled build(const PrepareLabelledOptions& options, const nlohmann::json& request, const fs::path& folder) {
  PreparedLabelled result;
  const TextSetup setup = text_setup(options.text, options.known);
  const fs::path spool_file = folder / "tokens.spool";
  TokenSpool spool(spool_file, setup.pipeline, options.threads);
  const LabelledSet set = read_set(options, spool, result.cleaned);

  std::vector<std::uint8_t> splits;
  for (const LabelledDocument& d : set.documents) splits.push_back(static_cast<std::uint8_t>(d.split));
  result.report = examine(set, find_overlaps(spool, splits), !options.valid.empty());
  const auto counted = [&](std::int64_t document) {
    return lm_split(set.documents[static_cast<std::size_t>(document)].split, options.include_test_text) == "train";
  };
  const text::Vocabulary vocabulary =
      setup.builds() ? text::Vocabulary::build(count_words(spool, counted), options.vocabulary, setup.known_words())
                     : *setup.known;
  warn_of_words_left_out(setup, vocabulary);
  const nlohmann::json provenance = {{"request", request}, {"cleaned", describe(result.cleaned)}};
  write_corpora(options, spool, set, setup.pipeline, vocabulary, provenance, folder, result.report);
  fs::remove(spool_file);
  write_file_atomic(folder / "report.json", result.report.to_json().dump(2) + "\n");
  result.labels = set.labels;
  result.vocabulary_size = vocabulary.size();
  result.text_bytes = spool.text_bytes();
  return result;
}

}  // namespace

PreparedLabelled prepare_labelled(const PrepareLabelledOptions& options) {
  check(options);
  const Stopwatch watch;
  const nlohmann::json request = request_of(options);
  if (already_prepared(options.output, {"lm", "labelled"}, request)) {
    log::info("prepare", str(options.output.string(), " is already prepared from the same text and options"));
    PreparedLabelled result;
    result.already_prepared = true;
    return result;
  }
  PartialFolder partial(options.output);
  PreparedLabelled result = build(options, request, partial.path());
  partial.commit();
  result.seconds = watch.seconds();
  log_prepared({result.report.splits.begin(), result.report.splits.end()}, result.vocabulary_size, result.cleaned,
               result.text_bytes, result.seconds);
  result.report.log();
  return result;
}

}  // namespace ulmfit::data_prep
