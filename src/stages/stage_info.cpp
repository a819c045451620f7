#include "stages/stage_info.h"

#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/file_lists.h"
#include "reports/number_format.h"
#include "stages/language_model_info.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;

constexpr std::int64_t kMostWords = 1 << 24;
constexpr std::int64_t kMostLayers = 64;
constexpr std::array<std::string_view, 2> kDirections{"forward", "backward"};

const HeadKind& read_kind(const StageFields& fields) {
  std::vector<std::string_view> names;
  for (const HeadKind& kind : head_kinds()) names.push_back(kind.name);
  return head_kinds()[fields.choice("kind", names)];
}

std::vector<Ancestor> read_lineage(const StageFields& fields) {
  std::vector<Ancestor> ancestors;
  for (const json& a : fields.root().at("lineage")) {
    ancestors.push_back({a.at("command").get<std::string>(), a.at("fingerprint").get<std::string>(),
                         data::summarize_file_lists(a.at("facts"))});
    fields.require(!ancestors.back().command.empty() && ancestors.back().facts.is_object(),
                   "an entry of its lineage is empty");
  }
  fields.require(!ancestors.empty(), "it has no lineage");
  return ancestors;
}

}  // namespace

json to_json(const StageInfo& info) {
  json j = {{"format", "ulmfit-stage"},
            {"version", kStageVersion},
            {"kind", info.head->kind().name},
            {"shape",
             {{"vocabulary", info.shape.vocabulary},
              {"embedding", info.shape.embedding},
              {"hidden", info.shape.hidden},
              {"layers", info.shape.layers}}},
            {"direction", kDirections[info.backward ? 1 : 0]},
            {"figures", info.metrics},
            {"lineage", json::array()}};
  for (const auto& a : info.lineage) {
    j["lineage"].push_back({{"command", a.command}, {"fingerprint", a.fingerprint}, {"facts", a.facts}});
  }
  info.head->write(j);
  return j;
}

reports::CardInfo card_info(const StageInfo& info, const std::string& config_text) {
  reports::CardInfo card;
  card.model =
      str("Direction: ", info.backward ? "backward" : "forward", ". Vocabulary: ", reports::grouped(info.shape.vocabulary),
          " words. Embedding ", info.shape.embedding, ", hidden ", info.shape.hidden, ", ", info.shape.layers, " layers; ",
          reports::grouped(info.shape.encoder_parameters()), " parameters in the encoder.");
  if (const std::string note = note_of_softmax(info); !note.empty()) card.model += str("\n\nThis model was ", note, ".");
  card.metrics = info.metrics;
  for (const Ancestor& a : info.lineage) card.lineage.push_back({a.command, a.fingerprint, a.facts});
  card.config_text = config_text;
  info.head->complete(card);
  return card;
}

StageInfo stage_info(const json& json, const std::filesystem::path& file) {
  const StageFields fields(json, file);
  fields.require(json.at("format") == "ulmfit-stage", "it is not a stage description");
  fields.require(json.at("version") == kStageVersion || json.at("version") == kNewestStageVersion, "version ",
                 json.at("version").dump(), ", this program reads ", kStageVersion, " and ", kNewestStageVersion,
                 "; use the program that wrote it, or train again");
  const HeadKind& kind = read_kind(fields);
  StageInfo info;
  const auto& shape = json.at("shape");
  info.shape = {fields.whole(shape, "vocabulary", 1, kMostWords), fields.whole(shape, "embedding", 1, kMostWidth),
                fields.whole(shape, "hidden", 1, kMostWidth), fields.whole(shape, "layers", 1, kMostLayers)};
  info.backward = fields.choice("direction", kDirections) == 1;
  info.head = kind.read(fields, info.shape);
  info.lineage = read_lineage(fields);
  info.metrics = json.at("figures").get<std::map<std::string, double>>();
  for (const auto& [name, value] : info.metrics) fields.require(std::isfinite(value), "metric ", name, " is not finite");
  return info;
}

}  // namespace ulmfit::stages
