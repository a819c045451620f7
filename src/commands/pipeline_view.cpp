#include "commands/pipeline_view.h"

#include <algorithm>
#include <nlohmann/json.hpp>

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

bool is_written(const StageView& stage) {
  const fs::path folder = stage.output;
  if (stage.output.empty()) return false;
  if (stage.trains) return stages::holds_finished_stage(folder / "stage");
  return fs::exists(folder / "corpus.json") || fs::exists(folder / "labelled" / "corpus.json") ||
         fs::exists(folder / stages::kEvaluationFile);
}

StageView view(const config::IniSection& section, const std::string& file) {
  return {.name = section.name, .output = output_of(section), .trains = stage_entry(section.name, file).trains};
}

}  // namespace

std::vector<StageView> view_pipeline(const std::vector<config::IniSection>& sections, const std::string& file) {
  std::vector<StageView> stages;
  for (const config::IniSection& section : sections) {
    stages.push_back(view(section, file));
    stages.back().done = is_written(stages.back());
  }
  return stages;
}

std::vector<StageView> view_fit(const fs::path& folder) {
  const fs::path file = folder / kPipelineFile;
  if (!fs::exists(file)) return {};
  const std::vector<config::IniSection> sections = config::read_pipeline(file);
  if (sections.empty()) return {};
  // All that fit writes is in its --output, which the paths name as seen from where it was called.
  const fs::path root = fs::path(output_of(sections.front())).parent_path();
  std::vector<StageView> stages;
  for (const config::IniSection& section : sections) {
    stages.push_back(view(section, file.string()));
    stages.back().output = folder / fs::path(stages.back().output).lexically_relative(root);
    stages.back().done = is_written(stages.back());
  }
  return stages;
}

std::string told(const StageView& stage) {
  return stage.output.empty() ? stage.name : str(stage.name, " (", stage.output, ")");
}

std::string evaluated(const fs::path& report) {
  const fs::path file = report / stages::kEvaluationFile;
  if (report.empty() || !fs::exists(file)) return "";
  const nlohmann::json found = parse_json(read_file(file));
  const auto percent = [&](const char* key) { return reports::fixed(100 * found.at(key).get<double>(), 2); };
  const std::string interval = found.contains("error_low")
                                   ? str(" (95 % interval ", percent("error_low"), " to ", percent("error_high"), " %)")
                                   : "";
  return str("error ", percent("error"), " %", interval, " on ", found.at("texts").dump(), " ",
             found.at("split").get<std::string>(), " texts");
}

std::string restart_name(const std::vector<StageView>& stages, std::size_t number) {
  const StageView& stage = stages.at(number);
  const auto first =
      std::find_if(stages.begin(), stages.end(), [&](const StageView& other) { return other.name == stage.name; });
  return static_cast<std::size_t>(first - stages.begin()) == number ? stage.name : stage.output;
}

}  // namespace ulmfit::commands
