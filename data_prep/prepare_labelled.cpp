#include "data_prep/prepare_labelled.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/partial_folder.h"
#include "base/stopwatch.h"
#include "data/corpus_folder.h"
#include "data_prep/corpus_builder.h"
#include "data_prep/input_files.h"
#include "data_prep/labelled_set.h"
#include "data_prep/output_folder.h"
#include "data_prep/request.h"
#include "data_prep/split.h"
#include "text/readable.h"

namespace ulmfit::data_prep {
namespace {

void check(const PrepareLabelledOptions& options) {
  check_share(options.valid_share);
  if (options.train.empty()) throw ConfigError("no training file was given");
  if (options.output.empty()) throw ConfigError("no output folder was given");
  if (options.columns.label.empty()) throw ConfigError("no label column was given");
  if (options.fold.of > 0 && !options.test.empty()) {
    throw ConfigError("the texts of a fold are tested on, and a test file was given as well; leave one of them out");
  }
  if (options.include_test_text && options.test.empty()) {
    throw ConfigError("the test text is to be included in the language model's text, but no test file was given");
  }
  if (options.shard_tokens < 1) throw ConfigError(str("tokens a shard must be at least 1, found ", options.shard_tokens));
  require_apart(options.output, options.inputs());
}

// The texts' files and their checksums.
void describe_inputs(const PrepareLabelledOptions& options, nlohmann::json& request) {
  const auto file = [](const fs::path& path) {
    if (path.empty()) return nlohmann::json();
    nlohmann::json files = describe_files(list_files({path}));
    return fs::is_directory(path) ? files : files.front();
  };
  const auto format = [&](const fs::path& path) {
    return path.empty() ? "" : name_in(kLabelledFormats, options.format ? *options.format : labelled_format_of(path));
  };
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
}

nlohmann::json request_of(const PrepareLabelledOptions& options, bool with_files) {
  nlohmann::json request = describe_text(options.text, options.vocabulary, options.known);
  if (with_files) describe_inputs(options, request);
  request["unlabelled_text_columns"] = options.unlabelled_text_columns;
  request["text_columns"] = options.columns.text;
  request["label_column"] = options.columns.label;
  request["group_column"] = options.columns.group;
  describe_table(options.columns.table, request);
  // Of the default, null, as that of "fold" below.
  const std::optional<char> delimiter = options.columns.label_delimiter;
  request["label_delimiter"] = delimiter ? nlohmann::json(std::string(1, *delimiter)) : nlohmann::json();
  request["valid_share"] = options.valid.empty() ? options.valid_share : 0.0;
  // Of the default, null, as that of "fold" below.
  request["valid_least"] = options.valid_least > 0 ? nlohmann::json(options.valid_least) : nlohmann::json();
  request["include_test_text"] = options.include_test_text;
  // Of the default, null: older folders lack the key, and a request without one must differ from a folder with it.
  request["fold"] = options.fold.of > 0 ? nlohmann::json{options.fold.number, options.fold.of} : nlohmann::json();
  describe_license(options.license, request);
  request["seed"] = options.seed;
  request["shard_tokens"] = options.shard_tokens;
  return request;
}

struct TrainingDocuments {
  std::vector<std::size_t> numbers;          // in the set
  std::vector<std::int32_t> labels, groups;  // what is drawn alike; every text is in a group, be it alone
};

// Copies of a text stay together: those that are in no group join the first group that has the text, or each other. Of two
// groups none becomes one: a common short text would else tie all of them together.
TrainingDocuments training_documents(const LabelledSet& set, const std::vector<std::int64_t>& first_copies) {
  TrainingDocuments training;
  std::map<std::int64_t, std::int32_t> group_of_text;
  for (std::size_t d = 0; d < set.documents.size(); ++d) {
    if (set.documents[d].split != Split::kTrain) continue;
    training.numbers.push_back(d);
    training.labels.push_back(set.multilabel() ? 0 : set.documents[d].label);  // most label sets are rare: all alike
    training.groups.push_back(set.documents[d].group);
    if (set.documents[d].group >= 0) group_of_text.try_emplace(first_copies[d], set.documents[d].group);
  }
  auto next = static_cast<std::int32_t>(set.groups.size());
  for (std::size_t i = 0; i < training.groups.size(); ++i) {
    if (training.groups[i] >= 0) continue;
    const auto [entry, is_new] = group_of_text.try_emplace(first_copies[training.numbers[i]], next);
    if (is_new) ++next;
    training.groups[i] = entry->second;
  }
  return training;
}

// The same with each text that is in no group by itself.
std::vector<std::int64_t> no_copies(const LabelledSet& set) {
  std::vector<std::int64_t> first(set.documents.size());
  std::iota(first.begin(), first.end(), std::int64_t{0});
  return first;
}

// draw(training texts), with copies kept together if that leaves something to draw.
template <class Draw>
auto drawn(const LabelledSet& set, const std::vector<std::int64_t>& first_copies, TrainingDocuments& training,
           const Draw& draw) {
  training = training_documents(set, first_copies);
  try {
    return draw(training);
  } catch (const DataError&) {
    training = training_documents(set, no_copies(set));
    auto result = draw(training);  // or the error that tells of groups alone
    log::warn("prepare", "copies of one text are too many to be kept on one side of a split: they are drawn one by one");
    return result;
  }
}

// Moves the training texts that are held out to another split, but for texts of classes that have no others, and what is of
// one group with them. How many were moved.
std::int64_t move_held_out(LabelledSet& set, const TrainingDocuments& training, const std::vector<bool>& held_out,
                           Split to) {
  const auto classes_of = [&](std::size_t i) { return set.classes_of(set.documents[training.numbers[i]].label); };
  std::set<std::int32_t> trained, kept_groups;
  for (std::size_t i = 0; i < held_out.size(); ++i) {
    if (held_out[i]) continue;
    for (const std::int32_t c : classes_of(i)) trained.insert(c);
  }
  for (std::size_t i = 0; i < held_out.size(); ++i) {
    for (const std::int32_t c : classes_of(i)) {
      if (!trained.contains(c)) kept_groups.insert(training.groups[i]);
    }
  }
  std::int64_t moved = 0;
  for (std::size_t i = 0; i < held_out.size(); ++i) {
    if (!held_out[i] || kept_groups.contains(training.groups[i])) continue;
    set.documents[training.numbers[i]].split = to;
    ++moved;
  }
  return moved;
}

// The share of the training texts that is to be held out: the least from which on there are `valid_least` of them.
double share_held_out(const PrepareLabelledOptions& options, const LabelledSet& set) {
  constexpr double kMost = 0.2;
  const std::vector<std::int32_t> labels = training_documents(set, no_copies(set)).labels;
  const auto texts = static_cast<double>(labels.size()), least = static_cast<double>(options.valid_least);
  double share = options.valid_share;
  if (least > kMost * texts) return share;
  // Classes of one text give none: there may not be so many.
  while (share < 2 * kMost && held_out_by_label(labels, share) < options.valid_least) {
    share = std::max(share + 0.25 / texts, least / texts);
  }
  return share;
}

// Moves a share of the training texts to the validation split.
void hold_out_validation(LabelledSet& set, const std::vector<std::int64_t>& first_copies, double share,
                         std::uint64_t seed) {
  TrainingDocuments training;
  const std::vector<bool> held_out = drawn(set, first_copies, training, [&](const TrainingDocuments& texts) {
    return hold_out_by_label(texts.labels, texts.groups, share, seed);
  });
  if (move_held_out(set, training, held_out, Split::kValid) > 0) return;
  throw DataError(str("cannot hold out a share of ", share, " of ", training.numbers.size(),
                      " training texts for validation: all that were drawn are of classes that no other text has; give "
                      "validation texts, or a larger share"));
}

// Moves one fold of the training texts to the test split.
void hold_out_fold(LabelledSet& set, const std::vector<std::int64_t>& first_copies, const Fold& fold, std::uint64_t seed) {
  TrainingDocuments training;
  const std::vector<std::int32_t> folds = drawn(set, first_copies, training, [&](const TrainingDocuments& texts) {
    return folds_by_label(texts.labels, texts.groups, fold.of, seed);
  });
  std::vector<bool> in_fold(folds.size());
  std::transform(folds.begin(), folds.end(), in_fold.begin(),
                 [&](std::int32_t number) { return number == fold.number - 1; });
  if (move_held_out(set, training, in_fold, Split::kTest) > 0) return;
  throw DataError(str("fold ", fold.number, " of ", fold.of,
                      " has no text that can be tested on: all are of classes that no other fold has; give fewer folds"));
}

// `first`: the first copy of each text.
LabelledSet read_set(const PrepareLabelledOptions& options, TokenSpool& spool, text::CleanCounts& cleaned,
                     std::vector<std::int64_t>& first) {
  LabelledSetReader reader(options, spool);
  reader.read_labelled(options.train, Split::kTrain);
  if (!options.valid.empty()) reader.read_labelled(options.valid, Split::kValid);
  if (!options.test.empty()) reader.read_labelled(options.test, Split::kTest);
  reader.read_unlabelled();
  spool.finish();
  cleaned = reader.cleaned();
  LabelledSet set = reader.take();
  if (cleaned.invalid_utf8 > 0) {
    set.doubts.push_back(str(cleaned.invalid_utf8,
                             " byte sequences were not UTF-8 and became U+FFFD: is a file in another encoding? "
                             "Convert it, such as by iconv -f LATIN1 -t UTF-8"));
  }
  first = first_copies(spool);
  if (options.fold.of > 0) hold_out_fold(set, first, options.fold, options.seed);
  check_labels(set);
  if (options.valid.empty() && options.valid_share > 0) {
    hold_out_validation(set, first, share_held_out(options, set), options.seed);
  }
  return set;
}

// The split of the language model's corpus that a text belongs to; empty: none.
std::string lm_split(Split split, bool include_test_text) {
  if (split == Split::kValid) return "valid";
  if (split == Split::kTest && !include_test_text) return "";
  return "train";
}

// Some training texts for people to see that texts and labels are what they think: the first of each label, then others.
std::set<std::int64_t> shown_documents(const LabelledSet& set) {
  constexpr std::size_t kShown = 5;
  std::set<std::int64_t> shown;
  std::set<std::int32_t> labels;
  for (const bool new_labels : {true, false}) {
    for (std::size_t d = 0; d < set.documents.size() && shown.size() < kShown; ++d) {
      const LabelledDocument& document = set.documents[d];
      if (document.split != Split::kTrain || (new_labels && !labels.insert(document.label).second)) continue;
      shown.insert(static_cast<std::int64_t>(d));
    }
  }
  return shown;
}

// "label: text", as a model with that vocabulary reads it, cut to a line.
std::string shown_text(const std::string& label, std::span<const std::int32_t> ids, const text::Vocabulary& vocabulary,
                       const text::TextPipeline& pipeline) {
  constexpr std::size_t kMostTokens = 20;
  std::vector<std::string> tokens;
  for (const std::int32_t id : ids.first(std::min(ids.size(), kMostTokens + 1))) tokens.push_back(vocabulary.token(id));
  const std::string text = text::readable_beginning(std::move(tokens), pipeline.options().tokenizer, kMostTokens);
  return str("  ", label, ": ", text.empty() ? "(empty)" : text);
}

// Writes both corpora and counts the tokens of each split.
void write_corpora(const PrepareLabelledOptions& options, const TokenSpool& spool, const LabelledSet& set,
                   const text::TextPipeline& pipeline, const text::Vocabulary& vocabulary, const nlohmann::json& provenance,
                   const fs::path& folder, PrepareReport& report) {
  CorpusBuilder lm(folder / "lm", pipeline, vocabulary, {}, options.shard_tokens);
  CorpusBuilder labelled(folder / "labelled", pipeline, vocabulary, {set.labels, set.label_sets}, options.shard_tokens);
  const std::vector<std::int32_t> ids_of_words = vocabulary_ids(spool.words(), vocabulary);
  std::vector<std::int32_t> ids;
  std::map<std::string, std::string> places;  // of a split's documents
  const std::set<std::int64_t> shown = shown_documents(set);
  log::info("prepare", "some of the training texts, as the model reads them (xxunk: a word out of its vocabulary):");
  spool.visit([&](std::int64_t document, std::span<const std::uint32_t> words) {
    const LabelledDocument& d = set.documents[static_cast<std::size_t>(document)];
    ids.clear();
    for (const std::uint32_t word : words) ids.push_back(ids_of_words[word]);
    SplitSummary& summary = report.splits[name(d.split)];
    summary.count(ids, vocabulary);
    if (const std::string split = lm_split(d.split, options.include_test_text); !split.empty()) lm.add(split, ids);
    if (d.label < 0) return;
    if (shown.contains(document)) log::info("prepare", shown_text(set.told(d.label), ids, vocabulary, pipeline));
    labelled.add(name(d.split), ids, d.label);
    places[name(d.split)] += str(set.files[static_cast<std::size_t>(d.file)], ':', d.line, '\n');
  });
  for (const auto& [split, list] : places) write_file_atomic(data::places_file(folder / "labelled", split), list);
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
  std::vector<std::int64_t> first;
  const LabelledSet set = read_set(options, spool, result.cleaned, first);

  std::vector<std::uint8_t> splits;
  for (const LabelledDocument& d : set.documents) splits.push_back(static_cast<std::uint8_t>(d.split));
  constexpr auto kApart = static_cast<std::uint8_t>(Split::kUnlabelled);
  result.report = examine(set, find_overlaps(spool, splits, kApart, std::move(first)), !options.valid.empty());
  const auto counted = [&](std::int64_t document) {
    return lm_split(set.documents[static_cast<std::size_t>(document)].split, options.include_test_text) == "train";
  };
  const text::Vocabulary vocabulary =
      setup.builds() ? text::Vocabulary::build(count_words(spool, counted), options.vocabulary, setup.known_words())
                     : *setup.known;
  warn_of_words_left_out(setup, vocabulary);
  nlohmann::json provenance = {{"request", request}, {"cleaned", describe(result.cleaned)}};
  if (const auto doubts = result.report.doubts(); !doubts.empty()) provenance["doubts"] = doubts;
  write_corpora(options, spool, set, setup.pipeline, vocabulary, provenance, folder, result.report);
  fs::remove(spool_file);
  write_file_atomic(folder / "report.json", result.report.to_json().dump(2) + "\n");
  result.labels = set.labels;
  result.vocabulary_size = vocabulary.size();
  result.text_bytes = spool.text_bytes();
  return result;
}

}  // namespace

Fold parse_fold(const std::string& text) {
  Fold fold;
  char slash = 0;
  std::istringstream in(text);
  in >> fold.number >> slash >> fold.of;
  if (!in || slash != '/' || !in.eof() || fold.of < 2 || fold.number < 1 || fold.number > fold.of) {
    throw ConfigError(str("--fold=", text, ": expected NUMBER/FOLDS such as 2/5, the first being 1"));
  }
  return fold;
}

std::vector<fs::path> PrepareLabelledOptions::inputs() const {
  std::vector<fs::path> all = {train, valid, test};
  all.insert(all.end(), unlabelled.begin(), unlabelled.end());
  return all;
}

PreparedLabelled prepare_labelled(const PrepareLabelledOptions& options) {
  check(options);
  const Stopwatch watch;
  const auto request = what_to_prepare(options.output, {"lm", "labelled"}, options.inputs(),
                                       [&](bool with_files) { return request_of(options, with_files); });
  if (!request) {
    PreparedLabelled result;
    result.already_prepared = true;
    return result;
  }
  PartialFolder partial(options.output);
  PreparedLabelled result = build(options, *request, partial.path());
  partial.commit();
  result.seconds = watch.seconds();
  log_prepared({result.report.splits.begin(), result.report.splits.end()}, result.vocabulary_size, result.cleaned,
               result.text_bytes, result.seconds);
  result.report.log();
  return result;
}

}  // namespace ulmfit::data_prep
