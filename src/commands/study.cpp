// study low-shot|ablation: a grid of runs, shared by any number of workers.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>

#include "base/file_lock.h"
#include "base/log.h"
#include "base/stop_signal.h"
#include "comm/launch.h"
#include "commands/call.h"
#include "commands/given_options.h"
#include "commands/labelled_sources.h"
#include "data_prep/output_folder.h"
#include "reports/number_format.h"
#include "study/figures.h"
#include "study/study_folder.h"
#include "study/worker.h"

namespace ulmfit::commands {
namespace {

using config::OnResume;
using study::StudyFolder;

constexpr std::string_view kLowShotIntroduction =
    "Error against the number of labels, on your texts: trains classifiers from scratch, from the given language model "
    "tuned\n"
    "on the labelled texts alone (supervised), and tuned on all texts (semi-supervised), on class-balanced subsets that "
    "lie\n"
    "within each other, and tests them beside naive Bayes.";
constexpr std::string_view kAblationIntroduction =
    "The paper's tables on your texts: what pretraining, dropout, the ways of tuning and both directions bring.";
constexpr std::string_view kBothIntroductions =
    "\n"
    "A study is a grid of cells, each a pipeline in OUTPUT/cells that runs as a process of its own. Any number of workers\n"
    "share it: mpirun -n 4 ulmfit study ..., a Slurm array, or the same command in several shells. The same command again\n"
    "goes on where it was; cells that broke are tried again. The last worker writes OUTPUT/results.csv and study.html.";

struct StudyOptions {
  LabelledSources sources;
  std::vector<std::string> from;
  std::vector<std::string> labels;
  std::string vanilla;
  std::string general;
  std::int64_t seeds = 3;
  std::string output;
  std::string launcher;
  bool dry_run = false;
  stages::ComputeOptions compute;

  void declare(config::OptionSet& set, const std::string& kind) {
    sources.declare(set);
    set.require("test");
    set.add("from", from,
            "stage of the language model to start from; one that reads forward and one that reads backward: both");
    set.require("from");
    if (kind == study::kLowShot) {
      set.add("labels", labels, "sizes of the subsets, such as 100,200,500");
      set.require("labels");
    } else {
      set.add("vanilla", vanilla, "a language model that was pretrained without dropout, for the table of kinds");
      set.add("general", general,
              "text of the domain that the models were pretrained on, a document a line: is it forgotten?");
    }
    set.add("seeds", seeds, "run each setting with seeds 1 to this", {.min = 1, .max = 1000});
    set.add("output", output, "folder of the study", OnResume::kMayChange);
    set.require("output");
    set.add("launcher", launcher, "words in front of each cell's command, such as \"mpirun -n 2\": cells of several ranks",
            OnResume::kMayChange);
    set.add("dry-run", dry_run, "list the cells with their state and cost, and write nothing", OnResume::kAction);
    compute.declare(set);
    if (kind == study::kAblation) set.add_common({"vanilla", "general"});
    set.add_common({"valid", "unlabelled", "text-column", "label-column", "delimiter", "valid-share", "seeds", "launcher",
                    "dry-run", "device", "train.threads"});
  }
};

std::vector<std::int64_t> read_labels(const std::vector<std::string>& given) {
  std::vector<std::int64_t> sizes;
  for (const std::string& list : given) {
    std::istringstream in(list);
    for (std::string word; std::getline(in, word, ',');) {
      char* end = nullptr;
      const long long size = std::strtoll(word.c_str(), &end, 10);
      if (word.empty() || *end != '\0' || size < 2) {
        throw ConfigError(
            str("--labels=", list, ": expected numbers of labelled texts such as 100,200,500, each 2 or more"));
      }
      sizes.push_back(size);
    }
  }
  std::sort(sizes.begin(), sizes.end());
  if (std::adjacent_find(sizes.begin(), sizes.end()) != sizes.end()) {
    throw ConfigError("--labels names a number twice; each size of a subset once");
  }
  return sizes;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

// A study's pipelines run in its folder.
std::string absolute(const std::string& path) {
  return path.empty() ? path : fs::absolute(path).lexically_normal().string();
}

study::Values with_absolute_paths(study::Values values) {
  for (auto& [key, value] : values) {
    if (key == "train" || key == "valid" || key == "test" || key == "unlabelled") value = absolute(value);
  }
  return values;
}

study::Request request_of(const StudyOptions& options, const config::OptionSet& set, const std::string& kind) {
  study::Request request{.kind = kind,
                         .output = options.output,
                         .sources = options.sources.resolved(),
                         .given_sources = {},
                         .from = {},
                         .vanilla = absolute(options.vanilla),
                         .general = absolute(options.general),
                         .labels = read_labels(options.labels),
                         .seeds = options.seeds,
                         .compute = {}};
  if (options.from == std::vector<std::string>{"none"}) {
    throw ConfigError("--from=none: a study compares a language model with none; give one");
  }
  if (kind == study::kLowShot && !request.sources.columns.group.empty()) {
    throw ConfigError(
        "--group-column: subsets are drawn text by text; leave it out, and give --valid texts of other groups");
  }
  data_prep::require_apart(request.output, request.sources.inputs());
  for (const std::string& from : options.from) request.from.push_back(absolute(from));
  request.given_sources = with_absolute_paths(given_of<LabelledSources>(set));
  request.compute = given_of<stages::ComputeOptions>(set);
  return request;
}

study::Study study_of(const study::Request& request, const config::OptionSet& set, const study::Plan& plan) {
  return {request.kind, set.to_config(), study::sources_of(request), study::places_of(request), plan.cells,
          plan.notes,   plan.tables};
}

// Nothing while another worker has it.
std::unique_ptr<FolderLock> locked(const StudyFolder& folder) {
  try {
    return std::make_unique<FolderLock>(folder.path());
  } catch (const CheckpointError&) {
    return nullptr;
  }
}

std::unique_ptr<FolderLock> wait_for(const StudyFolder& folder) {
  constexpr std::chrono::milliseconds kPause{100};
  std::unique_ptr<FolderLock> lock;
  while ((lock = locked(folder)) == nullptr) std::this_thread::sleep_for(kPause);
  return lock;
}

void make(const StudyFolder& folder, const study::Request& request, const config::OptionSet& set) {
  try {
    const study::Plan plan = study::plan_study(request);
    folder.write(study_of(request, set, plan), plan);
  } catch (const std::exception&) {
    std::error_code ignored;  // a refused study leaves nothing, if the folder was not there before
    fs::remove(folder.path() / ".lock", ignored);
    fs::remove(folder.path(), ignored);
    throw;
  }
}

// The study with more labels or seeds; cells that are done, or at work, stay as they are. Whole, if it has grown beyond the
// request: a task of a job array that is put back into its queue comes with the command that it began with.
study::Study grow(const StudyFolder& folder, const study::Request& request, const config::OptionSet& set) {
  const std::unique_ptr<FolderLock> lock = wait_for(folder);
  const study::Study before = folder.read();  // another worker may have made it grow
  if (require_same_study(folder, before, request, set)) return before;
  const study::Plan plan = study::plan_study(request);
  const bool grows = study::grows(folder, before, plan);
  if (plan.cells.size() < before.cells.size()) {
    log::info("study",
              str("has grown beyond these --labels and --seeds: it goes on whole, with ", before.cells.size(), " cells"));
    return before;
  }
  folder.write(study_of(request, set, plan), plan);
  if (grows) log::info("study", str("grows from ", before.cells.size(), " to ", plan.cells.size(), " cells"));
  return folder.read();
}

// The study as it is, its pipelines with the places that the sources have moved to.
study::Study found(const StudyFolder& folder, const study::Study& study, const study::Request& request) {
  const std::vector<std::string> places = study::places_of(request);
  if (study.places.empty() || study.places == places) return study;
  const std::unique_ptr<FolderLock> lock = wait_for(folder);
  folder.sources_have_moved(folder.read(), places);
  log::info("study", "the sources have moved: the cells' pipelines name their places now");
  return folder.read();
}

// The study in the folder, made by the first worker that comes.
study::Study open_or_make(const StudyFolder& folder, const study::Request& request, const config::OptionSet& set) {
  constexpr std::chrono::milliseconds kPause{200};
  constexpr int kPausesToWord = 25;
  for (int pauses = 1; !folder.exists(); ++pauses) {
    study::check_parts(folder.path());
    make_directories(folder.path());
    const std::unique_ptr<FolderLock> lock = locked(folder);
    if (!lock) {
      if (pauses % kPausesToWord == 0) {
        log::info("study", str("waits for the worker that makes the study: ",
                               FolderLock::holder(folder.path()).value_or("it has ended")));
      }
      std::this_thread::sleep_for(kPause);
    } else if (!folder.exists()) {
      make(folder, request, set);
    }
  }
  const study::Study study = folder.read();
  return require_same_study(folder, study, request, set) ? found(folder, study, request) : grow(folder, request, set);
}

std::map<std::string, study::State> states(const StudyFolder& folder, const study::Study& study) {
  return study::states_of(study.cells, folder.records(study.cells));
}

// Of a cell that is at work who runs it.
std::string told_state(const StudyFolder& folder, const study::Cell& cell, study::State state) {
  const std::optional<std::string> holder = folder.holder(cell.name, state);
  return holder ? str("running (", *holder, ")") : study::name_of(state);
}

ExitCode list_cells(const StudyFolder& folder, const study::Request& request, const config::OptionSet& set) {
  const bool there = folder.exists();
  if (!there) study::check_parts(folder.path());
  study::Study study;
  if (there) study = folder.read();
  if (!there || !require_same_study(folder, study, request, set)) {
    const study::Plan plan = study::plan_study(request);
    if (!there || study::grows(folder, study, plan)) study = study_of(request, set, plan);
  }
  const auto state = states(folder, study);
  std::size_t width = 0;
  for (const study::Cell& cell : study.cells) width = std::max(width, cell.name.size());
  Outcome listed;
  for (const study::Cell& cell : study.cells) {
    std::string needs;
    for (const std::string& need : cell.needs) needs += (needs.empty() ? "  after " : ", ") + need;
    listed.result +=
        str(cell.name, std::string(width + 2 - cell.name.size(), ' '), told_state(folder, cell, state.at(cell.name)),
            "  about ", reports::duration(cell.seconds), needs, "\n");
  }
  print(listed);
  for (const std::string& line : study::describe(study.cells, state, study.notes)) log::info("study", line);
  return ExitCode::kDone;
}

// That of the first broken cell: 128 and its number if a signal ended it.
ExitCode code_of(const std::vector<study::Result>& results) {
  for (const study::Result& r : results) {
    if (r.state == study::State::kBroken) return static_cast<ExitCode>(r.record.exit_code);
  }
  return ExitCode::kDone;
}

// Every worker that finds all cells ended writes the tables, one after the other: under a launcher the first that ends with
// an error ends the rest. Nothing if another worker has made the study grow meanwhile.
std::optional<ExitCode> finish(const StudyFolder& folder, const study::Study& study) {
  const std::unique_ptr<FolderLock> lock = wait_for(folder);
  if (folder.read().cells.size() != study.cells.size()) return std::nullopt;
  const std::vector<study::Result> results = study::read_results(folder, study.cells);
  study::write_results(folder, study, results);
  const auto count = [&](study::State state) {
    return std::count_if(results.begin(), results.end(), [state](const auto& r) { return r.state == state; });
  };
  const fs::path page = folder.path() / "study.html", table = folder.path() / "results.csv";
  Outcome told = outcome({{"study", study.kind},
                          {"cells", results.size()},
                          {"done", count(study::State::kDone)},
                          {"broken", count(study::State::kBroken)},
                          {"blocked", count(study::State::kBlocked)},
                          {"results", table.string()},
                          {"page", page.string()}},
                         study::tables_text(study::tables_of(study, results)));
  told.table_tells_all = true;
  print(told);
  log::info("study", str(table.string(), " and ", page.string(), " are written"));
  const ExitCode code = code_of(results);
  if (code != ExitCode::kDone) {
    log::warn("study", "some cells are broken (study.html lists them); the same command tries them again");
  }
  return code;
}

// All that is left of the study, also the cells by which other workers make it grow meanwhile.
ExitCode work_on(const StudyFolder& folder, study::Study study, const study::WorkerOptions& options) {
  for (;;) {
    switch (study::work(folder, study.cells, options)) {
      case study::WorkerEnd::kStopped:
        log::info("study", "stopped; the same command goes on");
        return ExitCode::kStopped;
      case study::WorkerEnd::kAllEnded:
        if (const std::optional<ExitCode> code = finish(folder, study)) return *code;
        break;
      case study::WorkerEnd::kOthersWork:
        if (folder.read().cells.size() != study.cells.size()) break;
        log::info("study", "other workers run the cells that are left; the last of them writes the tables");
        return ExitCode::kDone;
    }
    study = folder.read();
    log::info("study", str("has grown to ", study.cells.size(), " cells"));
  }
}

ExitCode run_study(const std::string& kind, std::string_view introduction, const Arguments& arguments) {
  StudyOptions options;
  config::OptionSet set("study " + kind);
  options.declare(set, kind);
  set.set_elsewhere("a study chooses the settings of its cells: they stand in OUTPUT/cells/CELL/pipeline.cfg");
  if (read_or_help(set, arguments, str(introduction, kBothIntroductions))) return ExitCode::kDone;
  const study::Request request = request_of(options, set, kind);
  const StudyFolder folder(request.output);
  if (options.dry_run) return list_cells(folder, request, set);
  const bool launched = comm::read_launch_environment().under_launcher;
  { const StopSignalScope first(launched); }  // before threads start
  study::Study study = open_or_make(folder, request, set);
  for (const std::string& line : study::describe(study.cells, states(folder, study), study.notes)) log::info("study", line);
  const StopSignalScope stop_with_the_cell(launched);
  return work_on(
      folder, std::move(study),
      {.launcher = words_of(options.launcher), .place = comm::read_local_place(), .launch = comm::launch_name()});
}

ExitCode low_shot(const Arguments& arguments) { return run_study(study::kLowShot, kLowShotIntroduction, arguments); }
ExitCode ablation(const Arguments& arguments) { return run_study(study::kAblation, kAblationIntroduction, arguments); }

const std::vector<Entry>& kinds() {
  static const std::vector<Entry> entries{
      {.name = study::kLowShot, .summary = "error against the number of labels", .drive = low_shot, .under = "study"},
      {.name = study::kAblation, .summary = "what each part of the method brings", .drive = ablation, .under = "study"},
  };
  return entries;
}

std::string usage() {
  return str("Usage: ulmfit study KIND [options]\n\n", list(kinds()), "\nulmfit study KIND --help tells more.\n");
}

}  // namespace

ExitCode study(const Arguments& arguments) {
  if (wants_list(arguments)) return print_list(arguments, usage());
  if (arguments[0].starts_with('-')) {
    throw ConfigError(
        str("ulmfit study ", arguments[0], ": the kind comes first, low-shot or ablation, and then its options"));
  }
  return call(require(kinds(), arguments[0], "kind of study", "ulmfit study --help"),
              {arguments.begin() + 1, arguments.end()});
}

}  // namespace ulmfit::commands
