// run --config PIPELINE: a section a stage, in order.
#include "base/log.h"
#include "commands/commands.h"
#include "commands/pipeline_view.h"
#include "commands/stages_in_order.h"

namespace ulmfit::commands {
namespace {

constexpr std::string_view kIntroduction =
    "Runs the stages of a pipeline file in order, under mpirun on all its ranks. Each section is a command, such as\n"
    "[prepare-corpus], [pretrain], [prepare-labelled], [finetune-lm], [train-classifier], [evaluate]; its keys are the\n"
    "options of that command. A stage that is done is skipped, one that was interrupted goes on; a stage that fails ends\n"
    "the run with its exit code.";

struct RunOptions {
  std::string file;
  std::string restart_from;  // a section, or its folder; empty: none
  bool dry_run = false;

  void declare(config::OptionSet& set) {
    set.add("config", file, "the pipeline file");
    set.require("config");
    set.add(
        "restart-from", restart_from,
        "train that stage and all after it anew; their folders are moved aside. Of several stages of one name it is the "
        "first; any of them can be named by its output folder");
    set.add("dry-run", dry_run, "read all options, list the stages, which of them are done, and stop");
  }
};

bool is_folder(const std::string& name, const std::string& output) {
  const auto plain = [](const std::string& path) { return (fs::path(path) / "").lexically_normal(); };
  return !output.empty() && plain(name) == plain(output);
}

// The number of the stage that is trained anew, with all after it; that of the stages: none.
std::size_t first_anew(const RunOptions& options, const std::vector<StageView>& stages) {
  if (options.restart_from.empty()) return stages.size();
  std::string names;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    if (!stages[i].trains) continue;
    if (stages[i].name == options.restart_from || is_folder(options.restart_from, stages[i].output)) return i;
    names += (names.empty() ? "" : ", ") + told(stages[i]);
  }
  throw ConfigError(str("--restart-from=", options.restart_from, ": ", options.file,
                        " has no such stage that trains; it has ", names.empty() ? "none" : names));
}

void list_stages(const std::vector<StageView>& stages, std::size_t anew, const std::string& file) {
  log::info("run", str(file, ": ", stages.size(), " stages"));
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const char* state = i >= anew ? (stages[i].trains ? ": anew" : "") : is_done(stages[i]) ? ": done" : "";
    log::info("run", str("  ", i + 1, " ", told(stages[i]), state));
  }
  log::info("run", "what is done is skipped if its settings and texts are still these, and refused with the reason if not");
}

}  // namespace

ExitCode run_pipeline(const Arguments& arguments) {
  RunOptions options;
  config::OptionSet set("run");
  options.declare(set);
  if (read_or_help(set, arguments, kIntroduction)) return ExitCode::kDone;
  const auto sections = config::read_pipeline(options.file);
  const std::vector<StageView> stages = view_pipeline(sections, options.file);
  const StagesOptions how{.file = options.file, .anew = first_anew(options, stages)};
  if (!options.dry_run) return run_stages(sections, how).code;
  check_stages(sections, how);
  list_stages(stages, how.anew, options.file);
  return ExitCode::kDone;
}

}  // namespace ulmfit::commands
