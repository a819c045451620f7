// fit: from labelled texts to a tested classifier, with settings chosen from the texts.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "commands/call.h"
#include "commands/commands.h"
#include "commands/given_options.h"
#include "commands/labelled_sources.h"
#include "commands/pipeline_text.h"
#include "commands/pipeline_view.h"
#include "commands/stages_in_order.h"
#include "data/corpus_folder.h"
#include "reports/number_format.h"
#include "stages/classification_result.h"
#include "stages/fit_settings.h"
#include "stages/pipeline_text.h"
#include "stages/starting_models.h"

namespace ulmfit::commands {
namespace {

using config::IniSection;
using stages::PipelineText;
using stages::Setting;

constexpr std::string_view kIntroduction =
    "From labelled texts to a tested classifier: prepares them, tunes the language model on them, trains the classifier "
    "and\n"
    "evaluates it, under mpirun on all its ranks. Settings are chosen from the number and length of the texts, printed "
    "with\n"
    "their reasons, and written to OUTPUT/pipeline.cfg: change what you like there and say ulmfit run --config\n"
    "OUTPUT/pipeline.cfg, after the run with --restart-from STAGE, the first that the change concerns. The same command\n"
    "again goes on where it was.";

struct FitOptions {
  LabelledSources sources;
  std::vector<std::string> from;
  std::string output;
  std::int64_t vocabulary = text::VocabularyOptions().max_words;
  std::string license;
  std::int64_t seeds = 1;
  std::int64_t folds = 0;
  bool dry_run = false;
  stages::ComputeOptions compute;

  void declare(config::OptionSet& set) {
    sources.declare(set);
    set.add(
        "from", from,
        "stage of the language model to start from; one that reads forward and one that reads backward: both are used, and "
        "their classifiers averaged; the word none: from scratch");
    set.require("from");
    set.add("output", output, "folder of data, language model, classifier, evaluation and pipeline.cfg");
    set.require("output");
    set.add("vocab.size", vocabulary,
            "most words of the vocabulary, those of the texts and behind them the model's; from the first call on",
            {.min = 1});
    set.add("license", license, "of the texts, in your words, for lineage and card of the models; from the first call on");
    set.add("seeds", seeds, "train so many classifiers, of seeds 1 to this, and average them", {.min = 1, .max = 1000});
    set.add("folds", folds,
            "also estimate the error by cross-validation on so many parts of the training texts, each judged by a "
            "classifier that "
            "has not seen its labels; shows the texts whose labels are doubtful",
            {.min = 0, .max = 1000});
    set.add("dry-run", dry_run,
            "prepare the texts, print the settings, and time and memory by a second of training of each kind of stage, and "
            "stop");
    compute.declare(set);
    set.add_common({"valid", "valid-share", "test", "unlabelled", "text-column", "label-column", "label-delimiter",
                    "delimiter", "seeds", "folds", "dry-run", "device", "train.threads"});
  }
  bool multilabel() const { return sources.label_delimiter != LabelledSources::kNone; }
  bool pretrained() const { return from != std::vector<std::string>{"none"}; }
};

void append(IniSection& section, const std::vector<std::pair<std::string, std::string>>& values) {
  section.values.insert(section.values.end(), values.begin(), values.end());
}

fs::path in_output(const FitOptions& options, const std::string& name) { return fs::path(options.output) / name; }

fs::path fold_folder(const FitOptions& options, std::int64_t fold) { return in_output(options, "folds") / str(fold); }

constexpr std::string_view kNotOfFolds[] = {"test", "unlabelled", "unlabelled-format", "unlabelled-text-column"};

using Values = std::vector<std::pair<std::string, std::string>>;

Values given_sources(const config::OptionSet& set) { return given_of<LabelledSources>(set); }

IniSection preparation(const FitOptions& options, const config::OptionSet& set) {
  IniSection section{"prepare-labelled", given_sources(set)};
  const auto given = [&](const char* key) {
    return std::any_of(section.values.begin(), section.values.end(), [&](const auto& value) { return value.first == key; });
  };
  // What a validation needs that selects weights and fits a temperature.
  if (!given("valid") && !given("valid-share")) append(section, {{"valid-least", "100"}});
  if (options.pretrained()) append(section, {{"vocab", options.from.front()}, {"vocab.extend", "true"}});
  for (auto& value : set.given_values()) {
    if (value.first == "vocab.size" || value.first == "license") section.values.push_back(std::move(value));
  }
  append(section, {{"output", in_output(options, "data")}});
  return section;
}

// A language model to start from, and the one that is made of it.
struct Way {
  std::string from;
  std::string suffix;  // of folders, where there are several: "-backward"
  std::string lm;
};

// Throws where they cannot be used together: before texts are prepared, which may take hours.
std::vector<Way> ways_of(const FitOptions& options, model::Shape& shape) {
  if (!options.pretrained()) return {{"none", "", in_output(options, "lm")}};
  std::vector<Way> ways;
  for (const stages::StartingModel& start : stages::starting_models(options.from)) {
    if (ways.empty()) shape = start.model.info.shape;
    ways.push_back({start.from, start.suffix, in_output(options, "lm" + start.suffix)});
  }
  return ways;
}

void tell(const std::string& stage, const std::vector<Setting>& settings) {
  log::info("fit", str(stage, ":"));
  for (const Setting& s : settings) {
    log::info("fit", str("  ", s.key, " = ", s.value, s.reason.empty() ? "" : str("  (", s.reason, ")")));
  }
}

stages::FitFacts facts_of(const FitOptions& options) {
  const data::CorpusInfo lm = data::open_corpus(in_output(options, "data") / "lm");
  const data::CorpusInfo labelled = data::open_corpus(in_output(options, "data") / "labelled");
  const auto documents = [&](const std::string& split) {
    const auto found = labelled.splits.find(split);
    return found == labelled.splits.end() ? 0 : found->second.documents;
  };
  stages::FitFacts facts;
  facts.pretrained = options.pretrained();
  facts.lm_tokens = lm.splits.at("train").tokens;
  facts.texts = documents("train");
  facts.valid_texts = documents("valid");
  log::info("fit",
            str(facts.texts, " texts of ", labelled.labels.size(), " classes",
                labelled.multilabel() ? ", several a text," : "", " to train on, ", facts.valid_texts, " to validate, ",
                documents("test"), " to test; ", facts.lm_tokens, " tokens for the language model"));
  return facts;
}

// The sections behind that which prepares the texts.
class StagesOfFit {
 public:
  StagesOfFit(const FitOptions& options, const config::OptionSet& set, const stages::FitFacts& facts, std::vector<Way> ways)
      : options_(options),
        sources_(given_sources(set)),
        compute_(given_of<stages::ComputeOptions>(set)),
        ways_(std::move(ways)),
        of_lm_(stages::language_model_settings(facts)),
        of_classifier_(stages::classifier_settings(facts)),
        validated_(facts.valid_texts > 0) {}

  void tell_settings() const {
    tell("finetune-lm", of_lm_);
    tell("train-classifier", of_classifier_);
  }

  void add_to(PipelineText& pipeline) const {
    const std::string data = in_output(options_, "data");
    for (std::int64_t fold = 1; fold <= options_.folds; ++fold) pipeline.add(fold_preparation(fold));
    for (const Way& way : ways_) {
      IniSection tune{"finetune-lm", {{"from", way.from}, {"corpus", data + "/lm"}, {"output", way.lm}}};
      append(tune, compute_);
      pipeline.add(tune, of_lm_);
    }
    Values models;
    for (const Way& way : ways_) {
      for (std::int64_t seed = 1; seed <= options_.seeds; ++seed) {
        const std::string name = "classifier" + way.suffix + (options_.seeds > 1 ? str("-seed", seed) : "");
        const std::string output = in_output(options_, name);
        add_classifier(pipeline, way, data, output, seed);
        models.emplace_back("model", output);
      }
    }
    const bool tested = !options_.sources.test.empty();
    if (tested || validated_) {
      IniSection evaluate = evaluation(models, data, tested ? "test" : "valid", in_output(options_, "evaluation"));
      const bool compares = tested && validated_ && !options_.multilabel();
      if (compares) append(evaluate, {{"calibration", "true"}});
      pipeline.add(evaluate);
    }
    IniSection join{"join-folds", {}};
    for (std::int64_t fold = 1; fold <= options_.folds; ++fold) {
      add_fold(pipeline, fold);
      append(join, {{"evaluation", fold_folder(options_, fold) / "evaluation"}});
    }
    append(join, {{"report", in_output(options_, "cross-validation")}});
    if (options_.folds > 0) pipeline.add(join);
  }

 private:
  void add_classifier(PipelineText& pipeline, const Way& way, const std::string& data, const std::string& output,
                      std::int64_t seed) const {
    IniSection train{"train-classifier",
                     {{"from", way.lm}, {"data", data + "/labelled"}, {"output", output}, {"seed", str(seed)}}};
    append(train, compute_);
    pipeline.add(train, of_classifier_);
  }

  IniSection evaluation(const Values& models, const std::string& data, const std::string& split,
                        const std::string& report) const {
    IniSection evaluate{"evaluate", models};
    append(evaluate, {{"data", data + "/labelled"}, {"split", split}, {"report", report}});
    if (!options_.multilabel()) append(evaluate, {{"top-losses", "50"}});
    if (!options_.multilabel() && validated_) append(evaluate, {{"baselines", "true"}});
    append(evaluate, compute_);
    return evaluate;
  }

  // Before anything is trained: texts that cannot be cut into folds are refused then.
  IniSection fold_preparation(std::int64_t fold) const {
    IniSection prepare{"prepare-labelled", {}};
    for (const auto& value : sources_) {
      if (std::find(std::begin(kNotOfFolds), std::end(kNotOfFolds), value.first) == std::end(kNotOfFolds)) {
        prepare.values.push_back(value);
      }
    }
    append(prepare, {{"vocab", in_output(options_, "data") / "lm"},
                     {"fold", str(fold, "/", options_.folds)},
                     {"output", fold_folder(options_, fold) / "data"}});
    return prepare;
  }

  void add_fold(PipelineText& pipeline, std::int64_t fold) const {
    const fs::path folder = fold_folder(options_, fold);
    const std::string data = folder / "data";
    Values models;
    for (const Way& way : ways_) {
      const std::string output = folder / ("classifier" + way.suffix);
      add_classifier(pipeline, way, data, output, 1);
      models.emplace_back("model", output);
    }
    pipeline.add(evaluation(models, data, "test", folder / "evaluation"));
  }

  const FitOptions& options_;
  Values sources_;
  Values compute_;
  std::vector<Way> ways_;
  std::vector<Setting> of_lm_;
  std::vector<Setting> of_classifier_;
  bool validated_;
};

// The pipeline, once the texts are prepared. Rank 0.
std::string chosen_pipeline(const FitOptions& options, const config::OptionSet& set, const IniSection& prepare,
                            const std::vector<Way>& ways, const stages::FitFacts& facts) {
  const StagesOfFit stages(options, set, facts, ways);
  stages.tell_settings();
  PipelineText pipeline("fit", "where fit was called");
  pipeline.add(prepare);
  stages.add_to(pipeline);
  return pipeline.text();
}

// The first stage of that name, which must be there.
IniSection first_of(const std::vector<IniSection>& stages, const std::string& name) {
  return *std::find_if(stages.begin(), stages.end(), [&](const IniSection& stage) { return stage.name == name; });
}

// Time and memory of one stage of each kind that trains. shape: of the pretrained model. Collective.
ExitCode measure(const std::vector<IniSection>& stages, const model::Shape& shape, bool pretrained,
                 const std::string& file) {
  IniSection tune = first_of(stages, "finetune-lm"), train = first_of(stages, "train-classifier");
  // What the classifier starts from is not trained yet: one of that shape.
  std::erase_if(train.values, [](const auto& value) { return value.first == "from"; });
  train.values.emplace_back("from", "none");
  if (pretrained) {
    append(train, {{"model.embedding", str(shape.embedding)},
                   {"model.hidden", str(shape.hidden)},
                   {"model.layers", str(shape.layers)}});
  } else {
    std::copy_if(tune.values.begin(), tune.values.end(), std::back_inserter(train.values),
                 [](const auto& value) { return value.first.starts_with("model."); });
  }
  for (IniSection* stage : {&tune, &train}) stage->values.emplace_back("dry-run", "true");
  log::info(
      "fit",
      "time and memory of a stage of each kind (of the classifier from scratch: what it starts from is not tuned yet):");
  std::string kinds;
  double seconds = 0;
  for (const IniSection& kind : {tune, train}) {
    const Outcome measured = run_stages({kind}, {.file = file});
    if (measured.code != ExitCode::kDone) return measured.code;
    const auto count =
        std::count_if(stages.begin(), stages.end(), [&](const IniSection& stage) { return stage.name == kind.name; });
    seconds += measured.planned_seconds * static_cast<double>(count);
    kinds += str(kinds.empty() ? "" : ", ", kind.name, " x ", count);
  }
  log::info("fit", str("the pipeline has ", kinds, ": about ", reports::duration(seconds),
                       " of training in all, less where a language model's validation stops improving early; validations "
                       "and evaluations are on top of that"));
  return ExitCode::kDone;
}

// What was found, and where people read it.
void tell_result(const std::string& name, const fs::path& report, const nlohmann::json& found) {
  if (found.is_null()) return;
  const std::string verdict = found.value("verdict", "");
  log::info("fit", str(name, ": ", evaluation_text(found), verdict.empty() ? "" : "; " + verdict));
  const fs::path texts = report / stages::kHardTextsFile;
  log::info("fit", str("  ", (report / "report.html").string(),
                       fs::exists(texts) ? str("; texts whose label it finds least likely: ", texts.string()) : ""));
}

// " --temperature 1.659" where the evaluation has fitted one.
std::string temperature_of(const nlohmann::json& evaluation) {
  const auto calibration = evaluation.is_null() ? nlohmann::json() : evaluation.value("calibration", nlohmann::json());
  return calibration.contains("temperature")
             ? str(" --temperature ", reports::fixed(calibration.at("temperature").get<double>(), 3))
             : "";
}

// The classifiers that the pipeline makes, as options of predict.
std::string models_of(const std::vector<IniSection>& stages, const std::string& of_folds) {
  std::string options;
  for (const IniSection& stage : stages) {
    if (stage.name != "train-classifier") continue;
    for (const auto& [key, value] : stage.values) {
      if (key == "output" && !value.starts_with(of_folds)) options += " --model " + value;
    }
  }
  return options;
}

}  // namespace

ExitCode fit(const Arguments& arguments) {
  FitOptions options;
  config::OptionSet set("fit");
  options.declare(set);
  set.set_elsewhere(
      "fit chooses the settings of its stages: with --dry-run it writes them to OUTPUT/pipeline.cfg, to be "
      "changed there");
  if (read_or_help(set, arguments, kIntroduction)) return ExitCode::kDone;
  if (options.folds == 1) throw ConfigError("--folds=1: expected 2 or more, or 0 for none");
  if (options.folds > 0 && options.multilabel()) {
    throw ConfigError(
        "--folds is for texts of one label, and with --label-delimiter they have several: leave one of them out, and give "
        "a --test file");
  }
  model::Shape shape;
  const std::vector<Way> ways = ways_of(options, shape);
  const fs::path file = in_output(options, "pipeline.cfg");
  const IniSection prepare = preparation(options, set);
  if (const ExitCode code = run_stages({prepare}, {.file = file}).code; code != ExitCode::kDone) return code;

  std::string pipeline;
  const ExitCode chosen = on_waiting_ranks([&](comm::Communicator& comm) {
    if (comm.rank() == 0) {
      stages::FitFacts facts = facts_of(options);
      facts.ranks = comm.size();
      if (options.pretrained()) facts.shape = shape;
      pipeline = chosen_pipeline(options, set, prepare, ways, facts);
      keep_pipeline(pipeline, file, options.dry_run);
      log::info("fit", str("the pipeline: ", file.string()));
    }
    comm.broadcast_bytes(pipeline, 0);
    return ExitCode::kDone;
  });
  if (chosen != ExitCode::kDone) return chosen;
  std::vector<IniSection> stages = config::read_ini(pipeline, file.string());
  stages.erase(stages.begin());  // prepared
  if (options.dry_run) return measure(stages, shape, options.pretrained(), file.string());
  if (const ExitCode code = run_stages(stages, {.file = file.string()}).code; code != ExitCode::kDone) return code;
  const fs::path report = in_output(options, "evaluation"), crossed = in_output(options, "cross-validation");
  const nlohmann::json evaluation = evaluation_in(report);
  tell_result("evaluation", report, evaluation);
  tell_result("cross-validation", crossed, evaluation_in(crossed));
  log::info("fit", str("done; to use it: ulmfit predict", models_of(stages, in_output(options, "folds/")),
                       temperature_of(evaluation)));
  return ExitCode::kDone;
}

}  // namespace ulmfit::commands
