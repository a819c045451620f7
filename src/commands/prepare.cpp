// prepare-corpus and prepare-labelled.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/machine.h"
#include "comm/launch.h"
#include "commands/commands.h"
#include "commands/rank_team.h"
#include "commands/text_options.h"
#include "data_prep/prepare_corpus.h"
#include "data_prep/prepare_labelled.h"
#include "stages/options.h"

namespace ulmfit::commands {
namespace {

constexpr Named<bool> kYesNo[] = {{true, "yes"}, {false, "no"}};

void declare_header(config::OptionSet& set, std::optional<bool>& header) {
  set.add("header", header, kYesNo,
          "CSV, TSV: whether the first row holds column names; auto: if a column is given by name");
}

std::vector<std::filesystem::path> paths(const std::vector<std::string>& names) { return {names.begin(), names.end()}; }

// Ranks may reach the points where they meet far apart in time: they read and write files of any size.
constexpr std::chrono::hours kDeadline{24};

int threads_of(std::int64_t given, const comm::Communicator& comm) {
  return given > 0 ? static_cast<int>(given) : std::max(available_cores() / comm.local_size(), 1);
}

nlohmann::json summary(const std::map<std::string, data_prep::SplitSummary>& splits) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, s] : splits)
    json[name] = {{"documents", s.documents}, {"tokens", s.tokens}, {"unknown_share", s.unknown_share()}};
  return json;
}

}  // namespace

ExitCode prepare_corpus(const Arguments& arguments) {
  data_prep::PrepareCorpusOptions options;
  TextArguments text_arguments;
  VocabularyArguments vocabulary;
  std::vector<std::string> inputs;
  std::vector<std::string> valid_inputs;
  std::string output;
  std::int64_t seed = 0;
  std::int64_t threads = 0;
  config::OptionSet set("prepare-corpus");
  set.add("input", inputs, "text files and folders (.gz, .xz and .zst as they are)");
  set.require("input");
  set.add("valid-input", valid_inputs, "validation text; without it documents are held out");
  set.add("output", output, "folder to make");
  set.require("output");
  set.add("format", options.format, data_prep::kCorpusFormats,
          "what a document is: a line, a WikiText article, a file, the visible text of a page, a record");
  set.add("text-column", options.text_columns, "CSV, TSV, JSONL: columns of the text, by name or number");
  declare_header(set, options.header);
  stages::declare_max_line_bytes(set, options.max_line_bytes);
  set.add("valid-share", options.valid_share, "share of the documents held out for validation; 0: none",
          {.min = 0, .max = 0.9});
  set.add("seed", seed, "of the documents held out", {.min = 0});
  set.add("threads", threads, "of a rank; 0: the cores of the machine divided by its ranks; the bytes do not depend on it",
          {.min = 0, .max = 4096});
  text_arguments.declare(set);
  vocabulary.declare(set);
  if (set.parse(arguments).help) {
    std::cout << set.help(
        "Turns text into a vocabulary and HDF5 token shards for pretrain and finetune-lm. Prints a JSON line. Under "
        "mpirun\n"
        "the ranks share the work; the bytes written do not depend on their number.");
    return ExitCode::kDone;
  }
  options.inputs = paths(inputs);
  options.valid_inputs = paths(valid_inputs);
  options.output = output;
  options.seed = static_cast<std::uint64_t>(seed);
  options.text = text_arguments.resolved();
  options.vocabulary = vocabulary.options;
  options.vocabulary_from = vocabulary.folder_or_file();
  return comm::run_on_ranks({at::kCPU, kDeadline}, [&](comm::Communicator& comm) {
    options.threads = threads_of(threads, comm);
    RankTeam team(comm);
    const auto result = data_prep::prepare_corpus(options, team);
    if (comm.rank() != 0) return ExitCode::kDone;
    nlohmann::json line = {{"output", output}, {"already_prepared", result.already_prepared}};
    if (!result.already_prepared) {
      line["splits"] = summary(result.splits);
      line["vocabulary"] = result.vocabulary_size;
      line["seconds"] = result.seconds;
    }
    std::cout << line.dump() << std::endl;
    return ExitCode::kDone;
  });
}

ExitCode prepare_labelled(const Arguments& arguments) {
  data_prep::PrepareLabelledOptions options;
  TextArguments text_arguments;
  VocabularyArguments vocabulary;
  std::string train;
  std::string valid;
  std::string test;
  std::vector<std::string> unlabelled;
  std::string output;
  std::int64_t seed = 0;
  std::int64_t threads = 0;
  config::OptionSet set("prepare-labelled");
  set.add("train", train, "labelled training file (CSV, TSV, JSONL, TREC; .gz, .xz and .zst as they are)");
  set.require("train");
  set.add("valid", valid, "labelled validation file; without it a share of the training texts is held out");
  set.add("test", test, "labelled test file");
  set.add("unlabelled", unlabelled, "more text for the language model");
  set.add("output", output, "folder to make: OUTPUT/lm and OUTPUT/labelled over one vocabulary");
  set.require("output");
  set.add("format", options.format, data_prep::kLabelledFormats, "of the labelled files; auto: by their ending");
  set.add("unlabelled-format", options.unlabelled_format, data_prep::kCorpusFormats,
          "of the unlabelled files; auto: by their ending");
  set.add("text-column", options.columns.text,
          "columns of the text, by name or number; several are joined with xxfld marks");
  set.add("unlabelled-text-column", options.unlabelled_text_columns, "the same for the unlabelled files, if it differs");
  set.add("label-column", options.columns.label, "column of the label");
  set.add("group-column", options.columns.group,
          "column of a group (author, source ...) that is never split between training and validation");
  declare_header(set, options.columns.header);
  stages::declare_max_line_bytes(set, options.columns.max_line_bytes);
  set.add("valid-share", options.valid_share, "share of the training texts held out for validation; 0: none",
          {.min = 0, .max = 0.9});
  set.add("include-test-text", options.include_test_text,
          "let the language model read the test texts (without labels); the lineage records it");
  set.add("seed", seed, "of the texts held out", {.min = 0});
  set.add("threads", threads, "0: all cores", {.min = 0, .max = 4096});
  text_arguments.declare(set);
  vocabulary.declare(set);
  if (set.parse(arguments).help) {
    std::cout << set.help(
        "Turns labelled text into shards for finetune-lm and train-classifier, and reports duplicates and leaks "
        "(OUTPUT/report.json).");
    return ExitCode::kDone;
  }
  options.train = train;
  options.valid = valid;
  options.test = test;
  options.unlabelled = paths(unlabelled);
  options.output = output;
  options.seed = static_cast<std::uint64_t>(seed);
  options.threads = static_cast<int>(threads);
  options.text = text_arguments.resolved();
  options.vocabulary = vocabulary.options;
  options.vocabulary_from = vocabulary.folder_or_file();
  const auto result = data_prep::prepare_labelled(options);
  nlohmann::json line = {{"output", output}, {"already_prepared", result.already_prepared}};
  if (!result.already_prepared) {
    line["labels"] = result.labels;
    line["vocabulary"] = result.vocabulary_size;
  }
  std::cout << line.dump() << std::endl;
  return ExitCode::kDone;
}

}  // namespace ulmfit::commands
