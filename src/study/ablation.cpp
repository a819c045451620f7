// The tables of the paper (Howard & Ruder 2018, tables 4 to 7) on other texts: what each part of the method brings, by
// leaving it out.
#include <algorithm>
#include <iterator>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "data_prep/input_files.h"
#include "stages/classifier_info.h"
#include "stages/stage_folder.h"
#include "study/plan.h"

namespace ulmfit::study {
namespace {

using stages::Setting;

constexpr const char* kTexts = "texts";
constexpr const char* kGeneral = "general";
constexpr std::string_view kConstant = "constant";
constexpr std::string_view kTriangle = "slanted-triangular";
constexpr std::string_view kCosine = "cosine";

// The paper: one rate of 0.001, and 0.01 with discriminative rates and as the highest of the slanted triangle. Of "cos" it
// says no rate: our reading is the one rate.
constexpr std::string_view kOneRate = "0.001";
constexpr std::string_view kHighestRate = "0.01";
constexpr std::string_view kDiscr = "2.6";
constexpr std::string_view kAlike = "1";
constexpr int kPatience = 10;  // epochs without improvement

// How a classifier is tuned.
struct Tuning {
  std::string_view setting;
  std::string_view label;
  std::string_view unfreeze;
  std::string_view lr;
  std::string_view factor;
  std::string_view schedule;
};
constexpr Tuning kTunings[] = {{"full", "full", "full", kOneRate, kAlike, kConstant},
                               {"full-discr", "full + discr", "full", kHighestRate, kDiscr, kConstant},
                               {"last", "last", "last", kOneRate, kAlike, kConstant},
                               {"chain-thaw", "chain-thaw", "chain-thaw", kOneRate, kAlike, kConstant},
                               {"freez", "freez", "paper", kOneRate, kAlike, kConstant},
                               {"freez-discr", "freez + discr", "paper", kHighestRate, kDiscr, kConstant},
                               {"freez-stlr", "freez + stlr", "paper", kHighestRate, kAlike, kTriangle},
                               {"freez-cos", "freez + cos", "paper", kOneRate, kAlike, kCosine},
                               {"ulmfit", "freez + discr + stlr", "paper", kHighestRate, kDiscr, kTriangle}};
constexpr Tuning kUlmfit = kTunings[std::size(kTunings) - 1];
static_assert(kUlmfit.setting == "ulmfit");

class Ablation {
 public:
  explicit Ablation(Material& material) : material_(material), start_(material.models.front()) {}

  Plan make() {
    size_up();
    check_models();
    add_texts();
    if (has_general()) add_general();
    for (std::int64_t seed = 1; seed <= material_.request.seeds; ++seed) {
      add_language_models(seed);
      add_classifiers(seed);
    }
    plan_.tables = tables();
    return std::move(plan_);
  }

 private:
  bool has_general() const { return !material_.request.general.empty(); }
  bool has_vanilla() const { return !material_.request.vanilla.empty(); }
  bool has_other_direction() const { return material_.models.size() > 1; }

  void size_up() {
    const Sources& sources = material_.sources;
    const data_prep::PrepareLabelledOptions& options = material_.request.sources;
    const auto all = static_cast<double>(sources.train.texts.size());
    const double bytes = sources.train.bytes(sources.train.all());
    const bool given = !sources.valid.texts.empty();
    const double share = given ? 0 : options.valid_share;
    const double valid = given ? static_cast<double>(sources.valid.texts.size()) : share * all;
    if (valid < 1) {
      throw ConfigError(
          "a study validates: give --valid texts, or leave --valid-share above 0 and give texts enough to hold some out");
    }
    const double valid_bytes = given ? sources.valid.bytes(sources.valid.all()) : share * bytes;
    material_.basis.valid_tokens = material_.tokens(valid_bytes);
    classifier_tokens_ = material_.tokens((1 - share) * bytes);
    lm_tokens_ = classifier_tokens_ + material_.tokens(sources.unlabelled_bytes);
    facts_ = material_.facts(lm_tokens_, static_cast<std::int64_t>((1 - share) * all), static_cast<std::int64_t>(valid));
    plan_.notes.push_back(str(sources.classes.size(), " classes; about ", facts_.texts, " texts train, ",
                              facts_.valid_texts, " validate, ", sources.test.texts.size(), " test"));
    add_note_of_copies(plan_, sources, sources.train.all());
    if (!has_vanilla()) {
      plan_.notes.push_back(
          "left out: the language model without dropout; give one with --vanilla (ulmfit pretrain --drop-mult 0)");
    }
    if (!has_other_direction()) {
      plan_.notes.push_back("left out: the other direction and both together; give a model of each with --from");
    }
    if (!has_general()) {
      plan_.notes.push_back(
          "left out: what tuning makes the language model forget; give text of its pretraining with --general");
    }
  }

  // What a table compares differs in one thing alone.
  void require_alike(const char* option, const std::string& path, const stages::TrainedModel& model) const {
    const stages::TrainedModel& start = start_.model;
    const auto refuse = [&](const std::string& what) {
      throw ConfigError(str(option, "=", path, " and --from=", start_.from, " differ in ", what,
                            ": a table would compare that; give models that were pretrained alike"));
    };
    if (model.info.head_info_as<stages::ClassifierInfo>() != nullptr) {
      throw ConfigError(str(option, "=", path, " is a classifier; give a language model"));
    }
    if (model.text->fingerprint() != start.text->fingerprint()) refuse("text rules or tokenizer");
    if (model.vocabulary->fingerprint() != start.vocabulary->fingerprint()) refuse("their vocabulary");
    if (!(model.info.shape == start.info.shape)) refuse("their widths or number of layers");
  }

  void check_models() const {
    if (has_other_direction()) require_alike("--from", material_.models[1].from, material_.models[1].model);
    if (!has_vanilla()) return;
    const stages::TrainedModel vanilla = stages::describe_stage(material_.request.vanilla);
    require_alike("--vanilla", material_.request.vanilla, vanilla);
    if (vanilla.info.backward != start_.model.info.backward) {
      throw ConfigError(str("--vanilla=", material_.request.vanilla, " and --from=", start_.from,
                            " read in other directions: the table would compare these; give models of one direction"));
    }
  }

  void add_texts() {
    CellPipeline pipeline(material_.basis);
    Values values = material_.request.given_sources;
    values.insert(values.end(), {{"vocab", start_.from}, {"vocab.extend", "true"}, {"output", data("")}});
    pipeline.prepare("prepare-labelled", values, lm_tokens_ + classifier_tokens_ + material_.basis.test_tokens);
    add_cell(plan_, pipeline, {.name = kTexts, .needs = {}, .setting = "texts"});
  }

  // In the words of the study, so that perplexities before and after tuning can be compared.
  void add_general() {
    double bytes = 0;
    for (const auto& file : data_prep::list_files({material_.request.general})) {
      bytes += static_cast<double>(fs::file_size(file.path));
    }
    general_tokens_ = material_.tokens(bytes);
    CellPipeline pipeline(material_.basis);
    pipeline.prepare("prepare-corpus",
                     {{"input", material_.request.general},
                      {"vocab", data("/lm")},
                      {"valid-share", "0"},
                      {"output", Material::cell_folder(kGeneral, "corpus")}},
                     general_tokens_);
    add_cell(plan_, pipeline, {.name = kGeneral, .needs = {kTexts}, .setting = "texts"});
  }

  std::string data(const std::string& part) const { return Material::cell_folder(kTexts, "data" + part); }
  static std::string name(const std::string& setting, std::int64_t seed) { return str(setting, "-seed", seed); }

  void add_language_models(std::int64_t seed) {
    std::vector<Setting> untuned = language_model_settings(facts_);
    std::erase_if(untuned, [](const Setting& s) { return s.key == "epochs" || s.key == "train.select"; });
    change(untuned, "train.steps", "1", "no weight moves: the model in the words of these texts");
    change(untuned, "lr", "0", "");
    add_language_model("lm-untuned", start_.from, untuned, seed);
    add_language_model("lm-full", start_.from, tuned(kAlike, kConstant), seed);
    add_language_model("lm-full-discr", start_.from, tuned(kDiscr, kConstant), seed);
    add_language_model("lm-tuned", start_.from, tuned(kDiscr, kTriangle), seed);
    add_language_model("lm-no-pretraining", "none", from_nothing(), seed);
    if (has_vanilla()) {
      std::vector<Setting> vanilla = tuned(kDiscr, kTriangle);
      change(vanilla, "drop-mult", "0", "a vanilla language model has no dropout");
      add_language_model("lm-vanilla", material_.request.vanilla, vanilla, seed);
    }
    if (has_other_direction()) {
      add_language_model("lm-other-direction", material_.models[1].from, tuned(kDiscr, kTriangle), seed);
    }
  }

  // As fit chooses them, but of as many epochs as they say: rows differ in what they name alone.
  static std::vector<Setting> language_model_settings(const stages::FitFacts& facts) {
    std::vector<Setting> settings = stages::language_model_settings(facts);
    std::erase_if(settings, [](const Setting& s) { return s.key == "train.patience"; });
    return settings;
  }

  std::vector<Setting> tuned(std::string_view factor, std::string_view schedule) const {
    std::vector<Setting> settings = language_model_settings(facts_);
    change(settings, "optim.factor", std::string(factor), factor == kDiscr ? "discr" : "one rate for all layers");
    change(settings, "schedule.kind", std::string(schedule), schedule == kTriangle ? "stlr" : "");
    return settings;
  }

  // Of the same shape, for as many steps as a model needs that knows nothing.
  std::vector<Setting> from_nothing() const {
    stages::FitFacts facts = facts_;
    facts.pretrained = false;
    std::vector<Setting> settings = language_model_settings(facts);
    for (const Setting& s : language_model_settings(facts_)) {
      if (s.key == "lr" || s.key == "drop-mult") change(settings, s.key, s.value, s.reason);
    }
    set_shape(settings, material_.basis.shape);
    return settings;
  }

  void add_language_model(const std::string& setting, const std::string& from, const std::vector<Setting>& settings,
                          std::int64_t seed) {
    const std::string cell = name(setting, seed);
    CellPipeline pipeline(material_.basis);
    Values values{{"from", from}, {"corpus", data("/lm")}, {"output", Material::cell_folder(cell, "lm")}};
    if (from == "none" && start_.model.info.backward) values.emplace_back("direction", "backward");
    pipeline.tune(values, settings, seed, lm_tokens_);
    add_cell(plan_, pipeline, {.name = cell, .needs = {kTexts}, .setting = setting, .seed = seed});
    if (has_general()) add_measurement(setting, seed);
  }

  // In a cell of its own, that no classifier waits for.
  void add_measurement(const std::string& setting, std::int64_t seed) {
    const std::string lm_cell = name(setting, seed), measured = "general-" + setting;
    CellPipeline pipeline(material_.basis);
    pipeline.measure(Material::cell_folder(lm_cell, "lm"), Material::cell_folder(kGeneral, "corpus"), general_tokens_);
    add_cell(plan_, pipeline,
             {.name = name(measured, seed), .needs = {lm_cell, kGeneral}, .setting = measured, .seed = seed});
  }

  void add_classifiers(std::int64_t seed) {
    add_from_scratch(seed);
    for (const Tuning& tuning : kTunings) add_classifier(std::string(tuning.setting), "lm-tuned", tuning, seed);
    add_classifier("no-pretraining", "lm-no-pretraining", kUlmfit, seed);
    if (has_vanilla()) add_classifier("vanilla", "lm-vanilla", kUlmfit, seed);
    add_classifier("classifier-of-lm-untuned", "lm-untuned", kUlmfit, seed);
    add_classifier("classifier-of-lm-full", "lm-full", kUlmfit, seed);
    add_classifier("classifier-of-lm-full-discr", "lm-full-discr", kUlmfit, seed);
    if (!has_other_direction()) return;
    add_classifier("other-direction", "lm-other-direction", kUlmfit, seed);
    CellPipeline pipeline(material_.basis);
    const std::string one = name("ulmfit", seed), other = name("other-direction", seed), both = name("both", seed);
    pipeline.test({Material::cell_folder(one, "classifier"), Material::cell_folder(other, "classifier")}, data("/labelled"),
                  Material::cell_folder(both, "evaluation"), false);
    add_cell(plan_, pipeline, {.name = both, .needs = {one, other}, .setting = "both", .seed = seed});
  }

  void add_from_scratch(std::int64_t seed) {
    const std::string cell = name("scratch", seed);
    CellPipeline pipeline(material_.basis);
    Values values{{"from", "none"}, {"data", data("/labelled")}, {"output", Material::cell_folder(cell, "classifier")}};
    if (start_.model.info.backward) values.emplace_back("direction", "backward");
    pipeline.classify(values, from_scratch_settings(), seed, classifier_tokens_);
    pipeline.test({Material::cell_folder(cell, "classifier")}, data("/labelled"), Material::cell_folder(cell, "evaluation"),
                  true);
    add_cell(plan_, pipeline, {.name = cell, .needs = {kTexts}, .setting = "scratch", .seed = seed});
  }

  std::int64_t groups() const { return material_.basis.shape.layers + 2; }  // embedding, layers, head

  // Of ULMFiT itself: those of fit, but as many as the layers take to be unfrozen.
  std::int64_t epochs_of_ulmfit() const {
    return std::max<std::int64_t>(groups() + 2, epochs_in(stages::classifier_settings(facts_)));
  }

  // Of all others, which are ended early. The paper: 50; on few texts our reading is three times those of ULMFiT.
  std::int64_t most_epochs() const {
    constexpr std::int64_t kFewest = 20, kMost = 50;
    return std::clamp(3 * epochs_of_ulmfit(), kFewest, std::max(kMost, epochs_of_ulmfit()));
  }

  static std::int64_t epochs_in(const std::vector<Setting>& settings) {
    const auto found = std::find_if(settings.begin(), settings.end(), [](const Setting& s) { return s.key == "epochs"; });
    return found == settings.end() ? 0 : std::stoll(found->value);
  }

  std::vector<Setting> classifier_settings(const Tuning& tuning) const {
    std::vector<Setting> settings = stages::classifier_settings(facts_);
    if (tuning.setting == kUlmfit.setting) {
      change(settings, "epochs", str(epochs_of_ulmfit()), "");
    } else {
      change(settings, "epochs", str(most_epochs()), "");
      change(settings, "train.patience", str(kPatience), "early stopping, as in the paper's comparisons");
    }
    change(settings, "train.select", "best", "in all rows, whatever the number of texts that validate");
    change(settings, "optim.unfreeze", std::string(tuning.unfreeze), "");
    change(settings, "lr", std::string(tuning.lr), "");
    change(settings, "optim.factor", std::string(tuning.factor), "");
    change(settings, "schedule.kind", std::string(tuning.schedule), "");
    if (tuning.unfreeze == "chain-thaw") {
      std::string factors;
      for (std::int64_t g = 1; g < groups(); ++g) factors += "0.1,";
      change(settings, "optim.group-factors", factors + "1", "0.001 for the last layer, 0.0001 for the others");
    }
    return settings;
  }

  // All layers at one rate, as "full"; the paper says no rate: our reading.
  std::vector<Setting> from_scratch_settings() const {
    std::vector<Setting> settings = classifier_settings(kTunings[0]);
    for (const Setting& s : from_scratch(material_, facts_)) {
      if (s.key.starts_with("model.") || s.key == "drop-mult") change(settings, s.key, s.value, s.reason);
    }
    return settings;
  }

  void add_classifier(const std::string& setting, const std::string& lm, const Tuning& tuning, std::int64_t seed) {
    const std::string cell = name(setting, seed), lm_cell = name(lm, seed);
    CellPipeline pipeline(material_.basis);
    pipeline.classify({{"from", Material::cell_folder(lm_cell, "lm")},
                       {"data", data("/labelled")},
                       {"output", Material::cell_folder(cell, "classifier")}},
                      classifier_settings(tuning), seed, classifier_tokens_);
    pipeline.test({Material::cell_folder(cell, "classifier")}, data("/labelled"), Material::cell_folder(cell, "evaluation"),
                  false);
    add_cell(plan_, pipeline, {.name = cell, .needs = {lm_cell}, .setting = setting, .seed = seed});
  }

  std::vector<Table> tables() const {
    const bool backward = start_.model.info.backward;
    Table pretraining{"Pretraining",
                      str("Without it the language model has learned from the target texts alone, for ",
                          epochs_in(from_nothing()), " epochs at one rate (our reading), where the given one is tuned for ",
                          epochs_in(tuned(kDiscr, kTriangle)), "."),
                      {{"none", "no-pretraining"}, {"the given model", "ulmfit"}}};
    Table kind{"Language model", "Vanilla: pretrained and tuned without dropout.", {}};
    if (has_vanilla()) kind.rows.push_back({"vanilla", "vanilla"});
    kind.rows.push_back({"AWD-LSTM", "ulmfit"});
    Table lm{"Tuning of the language model",
             "full: all layers at one constant rate; discr: lower rates for lower layers; stlr: the rate rises and falls "
             "(slanted triangle). The highest rate and the epochs are the same in all rows.",
             {{"none", "classifier-of-lm-untuned"},
              {"full", "classifier-of-lm-full"},
              {"full + discr", "classifier-of-lm-full-discr"},
              {"full + discr + stlr", "ulmfit"}}};
    Table direction{"Direction", "Both: the mean of their probabilities.", {{backward ? "backward" : "forward", "ulmfit"}}};
    if (has_other_direction()) {
      direction.rows.push_back({backward ? "forward" : "backward", "other-direction"});
      direction.rows.push_back({"both", "both"});
    }
    return {pretraining, kind, lm, classifier_table(), direction};
  }

  Table classifier_table() const {
    Table classifier{
        "Tuning of the classifier",
        str("full: all layers at once; last: the head alone; chain-thaw: each layer alone, then all; freez: one "
            "more layer each epoch, from the last on; cos: the rate falls by a cosine. Highest rates: ",
            kHighestRate, " with discr and with stlr, else ", kOneRate,
            " (chain-thaw: 0.0001 but for the last layer). ULMFiT, freez + discr + stlr, trains for ", epochs_of_ulmfit(),
            " epochs; all others for up to ", most_epochs(), ", ended early after ", kPatience,
            " without improvement (the paper: up to 50). The best epoch is kept. The rates of \"from scratch\" and "
            "\"cos\" are our reading; from scratch drops less."),
        {{"from scratch", "scratch"}}};
    for (const Tuning& tuning : kTunings) {
      classifier.rows.push_back({std::string(tuning.label), std::string(tuning.setting)});
    }
    return classifier;
  }

  Material& material_;
  const stages::StartingModel& start_;
  Plan plan_;
  stages::FitFacts facts_;
  double classifier_tokens_ = 0;
  double lm_tokens_ = 0;
  double general_tokens_ = 0;
};

}  // namespace

Plan plan_ablation(Material& material) { return Ablation(material).make(); }

}  // namespace ulmfit::study
