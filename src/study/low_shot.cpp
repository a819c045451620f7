// Error against the number of labels: from scratch, supervised (the language model is tuned on the labelled texts alone)
// and semi-supervised (on all texts there are), on the same class-balanced subsets.
#include "base/error.h"
#include "study/plan.h"
#include "study/subsets.h"

namespace ulmfit::study {
namespace {

constexpr const char* kAllTexts = "texts-all";

class LowShot {
 public:
  explicit LowShot(Material& material) : material_(material) {}

  Plan make() {
    draw();
    add_texts_of_all();
    for (std::int64_t seed = 1; seed <= material_.request.seeds; ++seed) {
      add_language_model_of_all(seed);
      for (const std::int64_t labels : material_.request.labels) add_subset(labels, seed);
    }
    plan_.tables = {
        {"Error by number of labels",
         "All settings of a column are trained on the same labelled texts; from scratch three times as long, and "
         "with less dropout (cells/CELL/pipeline.cfg).",
         {{"from scratch", "scratch"}, {"supervised", "supervised"}, {"semi-supervised", "semi-supervised"}}}};
    return std::move(plan_);
  }

 private:
  struct Subset {
    std::int64_t labels;
    std::int64_t seed;
    std::string id;  // "100-seed1"
    double tokens;
    stages::FitFacts facts;
  };

  static std::string file(const std::string& name) { return "texts/" + name + ".jsonl"; }

  void draw() {
    const Sources& sources = material_.sources;
    const data_prep::PrepareLabelledOptions& options = material_.request.sources;
    const bool given = !sources.valid.texts.empty();
    if (!given && options.valid_share == 0) {
      throw ConfigError("a study validates: give --valid texts, or leave --valid-share above 0");
    }
    draw_ = given ? without_copies(sources.train.texts, sources.valid.texts)
                  : draw_validation(sources.train.texts, sources.train.classes, sources.classes, options.valid_share,
                                    options.seed);
    check_subsets(draw_.pool, sources.train.classes, sources.classes, material_.request.labels, material_.request.seeds);
    const LabelledTexts& valid = given ? sources.valid : sources.train;
    const std::vector<std::size_t> numbers = given ? valid.all() : draw_.valid;
    valid_texts_ = static_cast<std::int64_t>(numbers.size());
    material_.basis.valid_tokens = material_.tokens(valid.bytes(numbers));
    plan_.files["texts/valid.jsonl"] = valid.lines(numbers);
    plan_.files["texts/test.jsonl"] = sources.test.lines(sources.test.all());
    plan_.files["texts/pool.jsonl"] = sources.train.lines(draw_.pool);
    plan_.notes.push_back(
        str(sources.classes.size(), " classes; ", valid_texts_, " texts validate, ",
            given ? "as given"
                  : str("drawn from ", options.train.string(), ", ",
                        valid_texts_ / static_cast<std::int64_t>(sources.classes.size()), " of each class"),
            "; subsets are drawn from ", draw_.pool.size(), " others; ", sources.test.texts.size(), " texts test"));
    add_note_of_copies(plan_, sources, draw_.pool);
    if (options.unlabelled.empty()) {
      plan_.notes.push_back("no --unlabelled text: semi-supervised is tuned on the texts of the training file alone");
    }
  }

  static Values columns() { return {{"text-column", "text"}, {"label-column", "label"}}; }

  // Of the subset's words, or those of all texts, and behind them those that the model knows.
  Values extended_vocabulary() const { return {{"vocab", material_.models.front().from}, {"vocab.extend", "true"}}; }

  void add_texts_of_all() {
    tokens_of_all_ = material_.tokens(material_.sources.train.bytes(draw_.pool) + material_.sources.unlabelled_bytes);
    CellPipeline pipeline(material_.basis);
    Values values = {{"train", file("pool")}, {"valid", file("valid")}};
    append(values, columns());
    append(values, given_of_unlabelled());
    append(values, extended_vocabulary());
    values.emplace_back("output", Material::cell_folder(kAllTexts, "data"));
    pipeline.prepare("prepare-labelled", values, tokens_of_all_);
    add_cell(plan_, pipeline, {.name = kAllTexts, .needs = {}, .setting = "texts"});
  }

  // How the unlabelled files are read: the labelled ones have been read, and written as JSON lines.
  Values given_of_unlabelled() const {
    Values values;
    if (material_.request.sources.unlabelled.empty()) return values;
    bool columns_given = false;
    for (const auto& value : material_.request.given_sources) {
      columns_given = columns_given || value.first == "unlabelled-text-column";
    }
    for (const auto& [key, value] : material_.request.given_sources) {
      const bool of_them = key == "unlabelled" || key == "unlabelled-format" || key == "unlabelled-text-column" ||
                           key == "header" || key == "delimiter" || key == "max-line-bytes";
      if (of_them) values.emplace_back(key, value);
      if (key == "text-column" && !columns_given) values.emplace_back("unlabelled-text-column", value);
    }
    return values;
  }

  static std::string lm_of_all(std::int64_t seed) { return str("lm-all-seed", seed); }

  void add_language_model_of_all(std::int64_t seed) {
    CellPipeline pipeline(material_.basis);
    const stages::FitFacts facts =
        material_.facts(tokens_of_all_, static_cast<std::int64_t>(draw_.pool.size()), valid_texts_);
    tune(pipeline, lm_of_all(seed), Material::cell_folder(kAllTexts, "data/lm"), facts, seed, tokens_of_all_);
    add_cell(plan_, pipeline, {.name = lm_of_all(seed), .needs = {kAllTexts}, .setting = "language model", .seed = seed});
  }

  void tune(CellPipeline& pipeline, const std::string& cell, const std::string& corpus, const stages::FitFacts& facts,
            std::int64_t seed, double tokens) const {
    for (const stages::StartingModel& start : material_.models) {
      pipeline.tune(
          {{"from", start.from}, {"corpus", corpus}, {"output", Material::cell_folder(cell, "lm" + start.suffix)}},
          stages::language_model_settings(facts), seed, tokens);
    }
  }

  void add_subset(std::int64_t labels, std::int64_t seed) {
    const std::vector<std::size_t> texts =
        draw_subset(draw_.pool, material_.sources.train.classes, material_.sources.classes.size(), labels,
                    static_cast<std::uint64_t>(seed));
    const double tokens = material_.tokens(material_.sources.train.bytes(texts));
    const Subset subset{labels, seed, str(labels, "-seed", seed), tokens, material_.facts(tokens, labels, valid_texts_)};
    plan_.files[str("texts/", subset.id, ".jsonl")] = material_.sources.train.lines(texts);
    const std::string prepared = "texts-" + subset.id;
    {
      CellPipeline pipeline(material_.basis);
      prepare(pipeline, subset, prepared, extended_vocabulary());
      add_cell(plan_, pipeline, {.name = prepared, .needs = {}, .setting = "texts", .labels = labels, .seed = seed});
    }
    add_from_scratch(subset, prepared);
    add_supervised(subset, prepared);
    add_semi_supervised(subset);
  }

  void prepare(CellPipeline& pipeline, const Subset& subset, const std::string& cell, const Values& vocabulary) const {
    Values values = {{"train", file(subset.id)}, {"valid", file("valid")}, {"test", file("test")}};
    append(values, columns());
    append(values, vocabulary);
    values.emplace_back("output", Material::cell_folder(cell, "data"));
    pipeline.prepare("prepare-labelled", values,
                     subset.tokens + material_.basis.valid_tokens + material_.basis.test_tokens);
  }

  void add_from_scratch(const Subset& subset, const std::string& prepared) {
    const std::string cell = "scratch-" + subset.id;
    const std::string data = Material::cell_folder(prepared, "data/labelled");
    CellPipeline pipeline(material_.basis);
    for (const stages::StartingModel& start : material_.models) {
      Values values = {
          {"from", "none"}, {"data", data}, {"output", Material::cell_folder(cell, "classifier" + start.suffix)}};
      if (start.model.info.backward) values.emplace_back("direction", "backward");
      pipeline.classify(values, from_scratch(material_, subset.facts), subset.seed, subset.tokens);
    }
    test(pipeline, cell, data, /*baselines=*/true);
    add_cell(plan_, pipeline,
             {.name = cell, .needs = {prepared}, .setting = "scratch", .labels = subset.labels, .seed = subset.seed});
  }

  void add_supervised(const Subset& subset, const std::string& prepared) {
    const std::string cell = "supervised-" + subset.id;
    CellPipeline pipeline(material_.basis);
    tune(pipeline, cell, Material::cell_folder(prepared, "data/lm"), subset.facts, subset.seed, subset.tokens);
    classify(pipeline, subset, cell, cell, Material::cell_folder(prepared, "data/labelled"));
    add_cell(plan_, pipeline,
             {.name = cell, .needs = {prepared}, .setting = "supervised", .labels = subset.labels, .seed = subset.seed});
  }

  void add_semi_supervised(const Subset& subset) {
    const std::string cell = "semi-supervised-" + subset.id;
    CellPipeline pipeline(material_.basis);
    prepare(pipeline, subset, cell, {{"vocab", Material::cell_folder(kAllTexts, "data/lm")}});
    classify(pipeline, subset, cell, lm_of_all(subset.seed), Material::cell_folder(cell, "data/labelled"));
    add_cell(plan_, pipeline,
             {.name = cell,
              .needs = {lm_of_all(subset.seed)},
              .setting = "semi-supervised",
              .labels = subset.labels,
              .seed = subset.seed});
  }

  void classify(CellPipeline& pipeline, const Subset& subset, const std::string& cell, const std::string& lm_cell,
                const std::string& data) const {
    for (const stages::StartingModel& start : material_.models) {
      pipeline.classify({{"from", Material::cell_folder(lm_cell, "lm" + start.suffix)},
                         {"data", data},
                         {"output", Material::cell_folder(cell, "classifier" + start.suffix)}},
                        stages::classifier_settings(subset.facts), subset.seed, subset.tokens);
    }
    test(pipeline, cell, data, /*baselines=*/false);
  }

  // All directions together, and where there are two, each.
  void test(CellPipeline& pipeline, const std::string& cell, const std::string& data, bool baselines) const {
    std::vector<std::string> models;
    for (const stages::StartingModel& start : material_.models) {
      models.push_back(Material::cell_folder(cell, "classifier" + start.suffix));
    }
    pipeline.test(models, data, Material::cell_folder(cell, "evaluation"), baselines);
    if (models.size() < 2) return;
    for (std::size_t i = 0; i < models.size(); ++i) {
      pipeline.test({models[i]}, data, Material::cell_folder(cell, "evaluation" + material_.models[i].suffix), false);
    }
  }

  static void append(Values& values, const Values& more) { values.insert(values.end(), more.begin(), more.end()); }

  Material& material_;
  Plan plan_;
  Draw draw_;
  std::int64_t valid_texts_ = 0;
  double tokens_of_all_ = 0;
};

}  // namespace

Plan plan_low_shot(Material& material) { return LowShot(material).make(); }

}  // namespace ulmfit::study
