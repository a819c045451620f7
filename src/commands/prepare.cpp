// prepare-corpus and prepare-labelled.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "comm/rank_cores.h"
#include "commands/call.h"
#include "commands/labelled_sources.h"
#include "commands/rank_team.h"
#include "commands/text_options.h"
#include "data_prep/prepare_corpus.h"
#include "data_prep/prepare_labelled.h"
#include "stages/options.h"
#include "stages/table_options.h"

namespace ulmfit::commands {
namespace {

std::vector<std::filesystem::path> paths(const std::vector<std::string>& names) { return {names.begin(), names.end()}; }

int threads_of(std::int64_t given, comm::Communicator& comm) {
  const int cores = comm::cores_of_rank(comm);  // by all ranks, whatever each was told
  return given > 0 ? static_cast<int>(given) : cores;
}

nlohmann::json summary(const std::map<std::string, data_prep::SplitSummary>& splits) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, s] : splits)
    json[name] = {{"documents", s.documents},
                  {"tokens", s.tokens},
                  {"unknown_share", s.unknown_share()},
                  {"known_only_share", s.known_only_share()}};
  return json;
}

void declare_license(config::OptionSet& set, std::string& license) {
  set.add("license", license, "of the text, in your words: for lineage and card of the models that it makes");
}

class PrepareCorpus : public Command {
 public:
  void declare(config::OptionSet& set) override {
    set.add("input", inputs_, "text files and folders (.gz, .xz and .zst as they are)");
    set.require("input");
    set.add("valid-input", valid_inputs_, "validation text; without it documents are held out");
    set.add_alias("valid", "valid-input");
    set.add("output", output_, "folder to make");
    set.require("output");
    set.add("format", options_.format, data_prep::kCorpusFormats,
            "what a document is: a line, a WikiText article, a file, the visible text of a page, a record");
    set.add("text-column", options_.text_columns, "CSV, TSV, JSONL: columns of the text, by name or number");
    table_.declare(set);
    set.add("valid-share", options_.valid_share, "share of the documents held out for validation; 0: none",
            {.min = 0, .max = 0.9});
    set.add("seed", seed_, "of the documents held out", {.min = 0});
    set.add("threads", threads_, "of a rank; 0: its share of the machine's cores; the bytes do not depend on it",
            {.min = 0, .max = 4096});
    declare_license(set, options_.license);
    text_.declare(set);
    vocabulary_.declare(set);
    set.add_common({"valid-input", "format", "text-column", "valid-share", "threads", "vocab", "vocab.size"});
  }
  std::string_view introduction() const override {
    return "Turns text into a vocabulary and HDF5 token shards for pretrain and finetune-lm. Prints a JSON line. Under "
           "mpirun\n"
           "the ranks share the work; the bytes written do not depend on their number.";
  }
  bool on_all_ranks() const override { return true; }

  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& comm) override {
    options_.inputs = paths(inputs_);
    options_.valid_inputs = paths(valid_inputs_);
    options_.output = output_;
    options_.table = table_.resolved();
    options_.seed = static_cast<std::uint64_t>(seed_);
    options_.text = text_.resolved();
    options_.vocabulary = vocabulary_.options;
    options_.known = vocabulary_.known();
    options_.threads = threads_of(threads_, comm);
    RankTeam team(comm);
    const auto result = data_prep::prepare_corpus(options_, team);
    nlohmann::json line = {{"output", output_}, {"already_prepared", result.already_prepared}};
    if (!result.already_prepared) {
      line["splits"] = summary(result.splits);
      line["vocabulary"] = result.vocabulary_size;
      line["seconds"] = result.seconds;
    }
    return outcome(line);
  }

 private:
  data_prep::PrepareCorpusOptions options_;
  stages::TableArguments table_;
  TextArguments text_;
  VocabularyArguments vocabulary_;
  std::vector<std::string> inputs_;
  std::vector<std::string> valid_inputs_;
  std::string output_;
  std::int64_t seed_ = 0;
  std::int64_t threads_ = 0;
};

class PrepareLabelled : public Command {
 public:
  void declare(config::OptionSet& set) override {
    sources_.declare(set);
    set.add("output", output_, "folder to make: OUTPUT/lm and OUTPUT/labelled over one vocabulary");
    set.require("output");
    set.add("include-test-text", include_test_text_,
            "let the language model read the test texts (without labels); the lineage records it");
    set.add("valid-least", valid_least_,
            "hold out so many texts at least, where these are no more than a fifth of all; 0: --valid-share alone",
            {.min = 0});
    set.add("fold", fold_, "test on one fold of the training texts, and train on the others: 2/5 is the second of five");
    set.add("threads", threads_, "0: all cores", {.min = 0, .max = 4096});
    declare_license(set, license_);
    text_.declare(set);
    vocabulary_.declare(set);
    set.add_common({"valid", "test", "unlabelled", "text-column", "label-column", "label-delimiter", "valid-share",
                    "threads", "vocab", "vocab.extend", "vocab.size"});
  }
  std::string_view introduction() const override {
    return "Turns labelled text into shards for finetune-lm and train-classifier, and reports duplicates and leaks "
           "(OUTPUT/report.json).";
  }

  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& /*comm*/) override {
    data_prep::PrepareLabelledOptions options = sources_.resolved();
    options.output = output_;
    options.include_test_text = include_test_text_;
    options.valid_least = valid_least_;
    if (!fold_.empty()) options.fold = data_prep::parse_fold(fold_);
    options.threads = static_cast<int>(threads_);
    options.license = license_;
    options.text = text_.resolved();
    options.vocabulary = vocabulary_.options;
    options.known = vocabulary_.known();
    const auto result = data_prep::prepare_labelled(options);
    nlohmann::json line = {{"output", output_}, {"already_prepared", result.already_prepared}};
    if (!result.already_prepared) {
      line["labels"] = result.labels;
      line["vocabulary"] = result.vocabulary_size;
    }
    return outcome(line);
  }

 private:
  LabelledSources sources_;
  std::int64_t valid_least_ = 0;
  TextArguments text_;
  VocabularyArguments vocabulary_;
  std::string output_;
  bool include_test_text_ = false;
  std::string fold_;
  std::string license_;
  std::int64_t threads_ = 0;
};

}  // namespace

std::unique_ptr<Command> prepare_corpus() { return std::make_unique<PrepareCorpus>(); }
std::unique_ptr<Command> prepare_labelled() { return std::make_unique<PrepareLabelled>(); }

}  // namespace ulmfit::commands
