#include "commands/stages_in_order.h"

#include <memory>

#include "base/log.h"
#include "base/stop_signal.h"
#include "comm/launch.h"
#include "commands/commands.h"
#include "commands/pipeline_view.h"

namespace ulmfit::commands {
namespace {

// A mistake in the last section would else be found hours later.
std::vector<std::unique_ptr<Call>> read_calls(const std::vector<config::IniSection>& sections,
                                              const StagesOptions& options) {
  std::vector<std::unique_ptr<Call>> calls;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const Entry& entry = stage_entry(sections[i].name, options.file);
    Arguments arguments;
    for (const auto& [key, value] : sections[i].values) arguments.push_back(str("--", key, "=", value));
    if (i >= options.anew && entry.trains) arguments.emplace_back("--restart");
    try {
      calls.push_back(std::make_unique<Call>(entry, arguments));
    } catch (const ConfigError& e) {
      throw ConfigError(str(options.file, ", section [", sections[i].name, "]: ", e.what()));
    }
  }
  return calls;
}

}  // namespace

const Entry& stage_entry(const std::string& section, const std::string& file) {
  const Entry* found = find(all(), section);
  if (found == nullptr || found->make == nullptr) {
    throw ConfigError(str(file, ": section [", section, "] is no stage; expected names such as [pretrain]"));
  }
  return *found;
}

void check_stages(const std::vector<config::IniSection>& sections, const StagesOptions& options) {
  read_calls(sections, options);
}

Outcome run_stages(const std::vector<config::IniSection>& sections, const StagesOptions& options) {
  const auto calls = read_calls(sections, options);
  const std::vector<StageView> views = view_pipeline(sections, options.file);
  Outcome last;
  // Before threads start; those of a stage that does not train, too.
  { const StopSignalScope first(comm::read_launch_environment().under_launcher); }
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const std::string& name = sections[i].name;
    const PipelineStep step{
        str("before stage ", name, " of ", options.file),
        str("put back what was there, or train this stage and those after it anew: ulmfit run --config ", options.file,
            " --restart-from ", restart_name(views, i))};
    last = calls[i]->run(&step);
    if (last.code == ExitCode::kStopped && i >= options.anew) {
      log::info("run", "to go on leave --restart-from out: it begins anew");
    }
    if (last.code != ExitCode::kDone) break;
  }
  return last;
}

}  // namespace ulmfit::commands
