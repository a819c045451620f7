#include "study/progress.h"

#include <optional>

namespace ulmfit::study {

Progress progress_of(const StudyFolder& folder) {
  const Study study = folder.read();
  const auto records = folder.records(study.cells);
  const auto states = states_of(study.cells, records);
  Progress progress;
  progress.kind = study.kind;
  progress.cells = study.cells.size();
  for (const Cell& cell : study.cells) {
    const State state = states.at(cell.name);
    if (state == State::kDone) {
      ++progress.done;
    } else if (const std::optional<std::string> holder = folder.holder(cell.name, state)) {
      progress.running.push_back({cell.name, *holder});
      progress.seconds_left += cell.seconds;
    } else if (state == State::kBroken) {
      progress.broken.push_back({cell.name, records.at(cell.name).message});
    } else if (state == State::kBlocked) {
      ++progress.blocked;
    } else {
      progress.seconds_left += cell.seconds;
    }
  }
  return progress;
}

}  // namespace ulmfit::study
