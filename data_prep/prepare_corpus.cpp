#include "data_prep/prepare_corpus.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/partial_folder.h"
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
  require_apart(options.output, options.inputs);
  require_apart(options.output, options.valid_inputs);
}

// Files whose names tell another format than the one they are read in.
void warn_of_endings(const PrepareCorpusOptions& options) {
  if (options.format != CorpusFormat::kLines) return;
  for (const fs::path& path : options.inputs) {
    if (fs::is_directory(path)) continue;
    const CorpusFormat looks_like = format_by_ending(path);
    if (looks_like == CorpusFormat::kLines) continue;
    log::warn("prepare",
              str(path.string(), " is read line by line, though its name says ", name_in(kCorpusFormats, looks_like),
                  "; is --format ", name_in(kCorpusFormats, looks_like), " meant?"));
  }
}

// No file may be trained on and validated with. Both: [{"name", "bytes", "xxh3"}].
void check_apart(const nlohmann::json& train, const nlohmann::json& valid) {
  std::map<std::string, std::string> names;  // by content
  for (const auto& file : train) {
    if (file.at("bytes") != 0) names[file.at("xxh3").get<std::string>()] = file.at("name").get<std::string>();
  }
  for (const auto& file : valid) {
    const auto same = names.find(file.at("xxh3").get<std::string>());
    if (same == names.end()) continue;
    throw DataError(str("cannot prepare a corpus: the validation file ", file.at("name").get<std::string>(),
                        " is among the training files, too (", same->second,
                        "): the model would be judged by text that it has learned; leave it out of --input"));
  }
}

nlohmann::json request_of(const PrepareCorpusOptions& options, bool with_files) {
  const auto files = [&](const std::vector<fs::path>& paths) {
    return paths.empty() ? nlohmann::json::array() : describe_files(list_files(paths, file_endings(options.format)));
  };
  nlohmann::json request = describe_text(options.text, options.vocabulary, options.known);
  if (with_files) {
    request["inputs"] = files(options.inputs);
    request["valid_inputs"] = files(options.valid_inputs);
  }
  request["format"] = name_in(kCorpusFormats, options.format);
  request["text_columns"] = options.text_columns;
  describe_table(options.table, request);
  request["valid_share"] = options.valid_inputs.empty() ? options.valid_share : 0.0;
  describe_license(options.license, request);
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

// Every rank must have read the same text.
void check_agreement(const TokenSpool& spool, Team& team) {
  const auto all = team.gather(str(spool.document_count(), " documents of ", spool.text_bytes(), " bytes"));
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    throw DataError(str("cannot prepare a corpus: rank ", rank, " has read ", all[rank], ", rank 0 ", all[0],
                        "; all ranks must see the same input files at the same paths"));
  }
}

// Adds lines "count word".
void add_counts(const std::string& lines, text::TokenCounts& counts) {
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t blank = lines.find(' ', at);
    const std::size_t end = lines.find('\n', blank);
    counts[lines.substr(blank + 1, end - blank - 1)] += std::stoll(lines.substr(at, blank - at));
    at = end + 1;
  }
}

// The vocabulary of the training text of all ranks, made on rank 0. Words hold neither blanks nor line ends.
text::Vocabulary build_vocabulary(text::TokenCounts counts, const text::VocabularyOptions& options,
                                  std::span<const std::string> known, Team& team) {
  for (int from = 1; from < team.size(); ++from) {  // one after the other: rank 0 holds the words of one more
    std::string lines;
    if (from == team.rank()) {
      for (const auto& [word, count] : counts) lines += str(count, ' ', word, '\n');
    }
    team.broadcast(lines, from);
    if (team.rank() == 0) add_counts(lines, counts);
  }
  std::string words;  // behind the number of the first known one
  if (team.rank() == 0) {
    const text::Vocabulary built = text::Vocabulary::build(counts, options, known);
    words = std::to_string(built.first_known()) + '\n';
    for (const std::string& token : built.tokens()) words += token + '\n';
  }
  team.broadcast(words, 0);
  std::istringstream lines(words);
  std::string token;
  std::getline(lines, token);
  const std::int64_t first_known = std::stoll(token);
  std::vector<std::string> tokens;
  while (std::getline(lines, token)) tokens.push_back(token);
  return text::Vocabulary(std::move(tokens), first_known);
}

// Goes through the spools of all ranks in the order of the documents, and writes this rank's shards of them.
void write_splits(const std::vector<fs::path>& spools, const std::vector<std::int64_t>& batch_documents,
                  const std::vector<bool>& valid, CorpusBuilder& builder) {
  std::vector<SpoolReader> readers(spools.begin(), spools.end());
  std::vector<std::uint32_t> stored;
  std::vector<std::int32_t> ids;
  std::size_t document = 0;
  for (std::size_t batch = 0; batch < batch_documents.size(); ++batch) {
    SpoolReader& reader = readers[batch % readers.size()];
    for (std::int64_t i = 0; i < batch_documents[batch]; ++i) {
      const std::string split = valid[document++] ? "valid" : "train";
      const std::size_t length = reader.next();
      if (!builder.adds_next(split)) {
        reader.skip();
        builder.pass_over(split, length);
        continue;
      }
      stored.resize(length);
      reader.read(stored);
      ids.assign(stored.begin(), stored.end());
      builder.add(split, ids);
    }
  }
}

// What all ranks have written, by split.
std::map<std::string, SplitSummary> summed(const std::map<std::string, SplitSummary>& mine, Team& team) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [split, s] : mine) json[split] = {s.documents, s.tokens, s.unknown, s.known_only};
  std::map<std::string, SplitSummary> all;
  for (const std::string& text : team.gather(json.dump())) {
    const nlohmann::json theirs = nlohmann::json::parse(text);
    for (const auto& item : theirs.items()) {
      SplitSummary& sum = all[item.key()];
      sum.documents += item.value().at(0).get<std::int64_t>();
      sum.tokens += item.value().at(1).get<std::int64_t>();
      sum.unknown += item.value().at(2).get<std::int64_t>();
      sum.known_only += item.value().at(3).get<std::int64_t>();
    }
  }
  return all;
}

fs::path spool_file(const fs::path& folder, int rank) { return folder / str("tokens-", rank, ".spool"); }

// Reads all text and spools this rank's share; the number of documents of the training inputs.
std::int64_t spool_inputs(const PrepareCorpusOptions& options, bool fastai_rules, TokenSpool& spool,
                          text::CleanCounts& cleaned) {
  const auto read = [&](const std::vector<fs::path>& inputs) {
    spool_documents({inputs, options.format, options.text_columns, options.table, fastai_rules}, spool, cleaned);
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
  return train_documents;
}

// Spools, counts, splits and writes into `folder`.
PreparedCorpus build(const PrepareCorpusOptions& options, const nlohmann::json& request, const fs::path& folder,
                     Team& team) {
  PreparedCorpus result;
  const TextSetup setup = text_setup(options.text, options.known);
  std::vector<fs::path> spools;
  spools.reserve(static_cast<std::size_t>(team.size()));
  for (int rank = 0; rank < team.size(); ++rank) spools.push_back(spool_file(folder, rank));
  TokenSpool spool(spool_file(folder, team.rank()), setup.pipeline, options.threads, team.share());
  const std::int64_t train_documents =
      spool_inputs(options, setup.pipeline.options().rules != text::TextRules::kNone, spool, result.cleaned);
  check_agreement(spool, team);

  const std::vector<bool> valid = validation_documents(options, spool, train_documents);
  const auto is_train = [&](std::int64_t document) { return !valid[static_cast<std::size_t>(document)]; };
  const text::Vocabulary vocabulary =
      setup.builds() ? build_vocabulary(count_words(spool, is_train), options.vocabulary, setup.known_words(), team)
                     : *setup.known;
  if (team.rank() == 0) warn_of_words_left_out(setup, vocabulary);
  spool.translate(vocabulary_ids(spool.words(), vocabulary));
  team.barrier();  // the spools are read by all
  CorpusBuilder builder(folder, setup.pipeline, vocabulary, {}, options.shard_tokens, team.share());
  write_splits(spools, spool.batch_documents(), valid, builder);
  result.splits = summed(builder.finish_shards(), team);
  if (team.rank() == 0) {
    for (const fs::path& file : spools) fs::remove(file);
    builder.describe({{"request", request}, {"cleaned", describe(result.cleaned)}});
  }
  result.vocabulary_size = vocabulary.size();
  result.text_bytes = spool.text_bytes();
  return result;
}

}  // namespace

PreparedCorpus prepare_corpus(const PrepareCorpusOptions& options, Team& team) {
  check(options);
  const Stopwatch watch;
  nlohmann::json request;
  std::optional<PartialFolder> partial;  // rank 0's
  std::string folder;                    // empty: nothing to do
  if (team.rank() == 0) {
    std::vector<fs::path> inputs = options.inputs;
    inputs.insert(inputs.end(), options.valid_inputs.begin(), options.valid_inputs.end());
    if (auto asked = what_to_prepare(options.output, {"."}, inputs, [&](bool f) { return request_of(options, f); })) {
      request = *std::move(asked);
      check_apart(request["inputs"], request["valid_inputs"]);
      warn_of_endings(options);
      folder = partial.emplace(options.output).path().string();
    }
  }
  team.broadcast(folder, 0);
  PreparedCorpus result;
  result.already_prepared = folder.empty();
  if (result.already_prepared) return result;
  result = build(options, request, folder, team);
  if (partial) {
    partial->commit();
    result.seconds = watch.seconds();
    log_prepared(result.splits, result.vocabulary_size, result.cleaned, result.text_bytes, result.seconds);
  }
  team.barrier();  // the folder is there when any rank returns
  return result;
}

PreparedCorpus prepare_corpus(const PrepareCorpusOptions& options) {
  Team alone;
  return prepare_corpus(options, alone);
}

}  // namespace ulmfit::data_prep
