#include "study/cell.h"

namespace ulmfit::study {

const char* name_of(State state) {
  switch (state) {
    case State::kOpen:
      return "open";
    case State::kStopped:
      return "stopped";
    case State::kDone:
      return "done";
    case State::kBroken:
      return "broken";
    case State::kWaiting:
      return "waiting";
    case State::kBlocked:
      return "blocked";
  }
  return "";
}

std::map<std::string, State> states_of(const std::vector<Cell>& cells, const std::map<std::string, Record>& records,
                                       double again_before) {
  std::map<std::string, State> states;
  for (const Cell& cell : cells) {
    const auto found = records.find(cell.name);
    const Record record = found == records.end() ? Record{} : found->second;
    State state = record.state == State::kBroken && record.ended < again_before ? State::kOpen : record.state;
    if (state != State::kDone) {
      for (const std::string& need : cell.needs) {
        const State other = states.at(need);
        if (other == State::kBroken || other == State::kBlocked) {
          state = State::kBlocked;
          break;
        }
        if (other != State::kDone && state != State::kBroken) state = State::kWaiting;
      }
    }
    states[cell.name] = state;
  }
  return states;
}

}  // namespace ulmfit::study
