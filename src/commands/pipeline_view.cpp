#include "commands/pipeline_view.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "commands/stages_in_order.h"
#include "config/option_set.h"
#include "reports/number_format.h"
#include "stages/classification_result.h"
#include "stages/stage_folder.h"

namespace ulmfit::commands {
namespace {

constexpr const char* kPipelineFile = "pipeline.cfg";

std::string output_of(const config::IniSection& section) {
  for (const auto& [key, value] : section.values) {
    if (key == "output" || key == "report") return value;
  }
  return "";
}

}  // namespace

bool is_done(const StageView& stage) {
  if (stage.output.empty()) return false;
  const fs::path folder = stage.output;
  if (stage.trains) return stages::holds_finished_stage(folder / "stage");
  return fs::exists(folder / "corpus.json") || fs::exists(folder / "labelled" / "corpus.json") ||
         fs::exists(folder / stages::kEvaluationFile);
}

std::vector<StageView> view_pipeline(const std::vector<config::IniSection>& sections, const std::string& file) {
  std::vector<StageView> stages;
  for (const config::IniSection& section : sections) {
    stages.push_back(
        {.name = section.name, .output = output_of(section), .trains = stage_entry(section.name, file).trains});
  }
  return stages;
}

std::vector<StageView> view_fit(const fs::path& folder) {
  const fs::path file = folder / kPipelineFile;
  if (!fs::exists(file)) return {};
  std::vector<StageView> stages = view_pipeline(config::read_pipeline(file), file.string());
  if (stages.empty()) return {};
  // All that fit writes is in its --output, which the paths name as seen from where it was called.
  const fs::path root = fs::path(stages.front().output).parent_path();
  for (StageView& stage : stages) stage.output = folder / fs::path(stage.output).lexically_relative(root);
  return stages;
}

std::string told(const StageView& stage) {
  return stage.output.empty() ? stage.name : str(stage.name, " (", stage.output, ")");
}

nlohmann::json evaluation_in(const fs::path& report) {
  const fs::path file = report / stages::kEvaluationFile;
  return !report.empty() && fs::exists(file) ? parse_json(read_file(file)) : nlohmann::json();
}

std::string evaluation_text(const nlohmann::json& evaluation) {
  const auto percent = [&](const char* key) { return reports::fixed(100 * evaluation.at(key).get<double>(), 2); };
  const std::string interval = evaluation.contains("error_low")
                                   ? str(" (95 % interval ", percent("error_low"), " to ", percent("error_high"), " %)")
                                   : "";
  return str("error ", percent("error"), " %", interval, " on ", evaluation.at("texts").dump(), " ",
             evaluation.at("split").get<std::string>(), " texts");
}

std::string restart_name(const std::vector<StageView>& stages, std::size_t number) {
  const StageView& stage = stages.at(number);
  const auto first =
      std::find_if(stages.begin(), stages.end(), [&](const StageView& other) { return other.name == stage.name; });
  return static_cast<std::size_t>(first - stages.begin()) == number ? stage.name : stage.output;
}

}  // namespace ulmfit::commands
