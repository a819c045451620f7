#include "stages/stage_info.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "data/file_lists.h"
#include "reports/number_format.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

constexpr std::int64_t kMostWidth = 1 << 20;
constexpr std::int64_t kMostWords = 1 << 24;
constexpr std::int64_t kMostLayers = 64;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 40;

// Reads the fields of one stage.json.
class Reader {
 public:
  Reader(const json& root, const std::filesystem::path& file) : root_(root), file_(file) {}

  StageInfo read() const {
    require(root_.at("format") == "ulmfit-stage", "it is not a stage description");
    require(root_.at("version") == kStageVersion, "version ", root_.at("version").dump(), ", this program reads ",
            kStageVersion, "; use the program that wrote it, or train again");
    StageInfo info;
    info.kind = choice("kind", "lm", "classifier") ? StageKind::kClassifier : StageKind::kLanguageModel;
    const json& shape = root_.at("shape");
    info.shape = {whole(shape, "vocabulary", 1, kMostWords), whole(shape, "embedding", 1, kMostWidth),
                  whole(shape, "hidden", 1, kMostWidth), whole(shape, "layers", 1, kMostLayers)};
    info.backward = choice("direction", "forward", "backward");
    if (info.kind == StageKind::kClassifier) info.classifier = classifier(3 * info.shape.embedding);
    info.lineage = lineage();
    info.figures = root_.at("figures").get<std::map<std::string, double>>();
    for (const auto& [name, value] : info.figures) require(std::isfinite(value), "figure ", name, " is not finite");
    return info;
  }

 private:
  template <class... What>
  void require(bool holds, const What&... what) const {
    if (!holds) throw CheckpointError(str("cannot read stage ", file_.string(), ": ", what...));
  }

  std::int64_t whole(const json& in, const std::string& key, std::int64_t min, std::int64_t max) const {
    const json& value = in.at(key);
    const bool integer =
        value.is_number_integer() && (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX);
    const std::int64_t n = integer ? value.get<std::int64_t>() : min - 1;
    require(n >= min && n <= max, key, " is ", value.dump(), ", expected ", min, " to ", max);
    return n;
  }

  // Whether it is the second.
  bool choice(const std::string& key, const char* first, const char* second) const {
    const json& value = root_.at(key);
    require(value == first || value == second, key, " is ", value.dump(), ", expected ", first, " or ", second);
    return value == second;
  }

  std::vector<std::string> labels(const json& classifier) const {
    auto labels = classifier.at("labels").get<std::vector<std::string>>();
    require(labels.size() >= 2, "it has ", labels.size(), " labels, two are needed");
    require(std::set<std::string>(labels.begin(), labels.end()).size() == labels.size(), "two of its labels are alike");
    require(std::none_of(labels.begin(), labels.end(), [](const std::string& label) { return label.empty(); }),
            "one of its labels is empty");
    return labels;
  }

  std::vector<std::int64_t> head_widths(const json& classifier, std::int64_t input, std::size_t classes) const {
    std::vector<std::int64_t> widths;
    for (const json& width : classifier.at("head_widths")) {
      widths.push_back(whole(json{{"width of the head", width}}, "width of the head", 1, 3 * kMostWidth));
    }
    require(widths.size() >= 2 && widths.front() == input && widths.back() == static_cast<std::int64_t>(classes),
            "the head's widths ", classifier.at("head_widths").dump(), " do not lead from ", input, " features to ",
            classes, " labels");
    return widths;
  }

  ClassifierInfo classifier(std::int64_t features) const {
    const json& c = root_.at("classifier");
    ClassifierInfo info;
    info.labels = labels(c);
    info.head_widths = head_widths(c, features, info.labels.size());
    info.bpt3c = {whole(c, "window", 1, kMostTokens), whole(c, "length", 1, kMostTokens), c.at("detach").get<bool>(),
                  c.at("pool_all").get<bool>()};
    info.text_columns = text_columns(c);
    require(!info.text_columns.empty(), "it has no text column");
    return info;
  }

  // Stages of older programs have them only among the facts of the data that they were trained on.
  std::vector<std::string> text_columns(const json& classifier) const {
    using Columns = std::vector<std::string>;
    if (classifier.contains("text_columns")) return classifier.at("text_columns").get<Columns>();
    const json::json_pointer in_facts("/facts/data/request/text_columns");
    const json& lineage = root_.at("lineage");
    const bool known = !lineage.empty() && lineage.back().contains(in_facts);
    return known ? lineage.back().at(in_facts).get<Columns>() : Columns{"text"};
  }

  std::vector<Ancestor> lineage() const {
    std::vector<Ancestor> ancestors;
    for (const json& a : root_.at("lineage")) {
      ancestors.push_back({a.at("command").get<std::string>(), a.at("fingerprint").get<std::string>(),
                           data::summarize_file_lists(a.at("facts"))});
      require(!ancestors.back().command.empty() && ancestors.back().facts.is_object(), "a step of its lineage is empty");
    }
    require(!ancestors.empty(), "it has no lineage");
    return ancestors;
  }

  const json& root_;
  const std::filesystem::path& file_;
};

}  // namespace

std::string_view name(StageKind kind) { return kind == StageKind::kLanguageModel ? "lm" : "classifier"; }

json to_json(const StageInfo& info) {
  json j = {{"format", "ulmfit-stage"},
            {"version", kStageVersion},
            {"kind", name(info.kind)},
            {"shape",
             {{"vocabulary", info.shape.vocabulary},
              {"embedding", info.shape.embedding},
              {"hidden", info.shape.hidden},
              {"layers", info.shape.layers}}},
            {"direction", info.backward ? "backward" : "forward"},
            {"figures", info.figures},
            {"lineage", json::array()}};
  for (const auto& a : info.lineage)
    j["lineage"].push_back({{"command", a.command}, {"fingerprint", a.fingerprint}, {"facts", a.facts}});
  if (info.classifier) {
    const auto& c = *info.classifier;
    j["classifier"] = {{"labels", c.labels},
                       {"head_widths", c.head_widths},
                       {"window", c.bpt3c.window},
                       {"length", c.bpt3c.length},
                       {"detach", c.bpt3c.detach},
                       {"pool_all", c.bpt3c.pool_all},
                       {"text_columns", c.text_columns}};
  }
  return j;
}

reports::CardInfo card_info(const StageInfo& info, const std::string& config_text) {
  const bool lm = info.kind == StageKind::kLanguageModel;
  reports::CardInfo card;
  card.title = lm ? "AWD-LSTM language model" : "AWD-LSTM text classifier";
  card.model =
      str("Direction: ", info.backward ? "backward" : "forward", ". Vocabulary: ", reports::grouped(info.shape.vocabulary),
          " words. Embedding ", info.shape.embedding, ", hidden ", info.shape.hidden, ", ", info.shape.layers, " layers; ",
          reports::grouped(info.shape.encoder_parameters()), " parameters in the encoder.");
  if (info.classifier) card.labels = info.classifier->labels;
  card.figures = info.figures;
  card.also_not_measured = lm ? "the usefulness of generated text" : "calibration of the probabilities";
  for (const Ancestor& a : info.lineage) card.lineage.push_back({a.command, a.fingerprint, a.facts});
  card.config_text = config_text;
  return card;
}

StageInfo stage_info(const json& json, const std::filesystem::path& file) { return Reader(json, file).read(); }

}  // namespace ulmfit::stages
