// A cell of a study: a pipeline that is run as one process, what it waits for, and how it ended.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ulmfit::study {

struct Cell {
  std::string name;                // its folder below cells
  std::vector<std::string> needs;  // cells that must be done before, earlier in the list
  std::string setting{};           // what it measures, or makes for others
  std::int64_t labels = 0;         // labelled texts that it trains on; 0: all
  std::int64_t seed = 0;           // of subset, weights, order and dropout; 0: nothing is drawn
  double seconds = 0;              // estimated
  double bytes = 0;                // of disk when it is done, estimated
};

enum class State {
  kOpen,     // not begun, or ended without a word: it goes on where it was
  kStopped,  // by a signal; it goes on
  kDone,
  kBroken,   // it ended with an error
  kWaiting,  // a cell that it needs is not done
  kBlocked,  // a cell that it needs is broken
};
const char* name_of(State state);  // "open", "stopped", "done", "broken", "waiting", "blocked"

// How a cell ended, as its folder keeps it.
struct Record {
  State state = State::kOpen;  // open, stopped, done or broken
  double seconds = 0;          // of all starts that ended by themselves
  int exit_code = 0;           // 128 + n: by signal n
  std::string message{};       // of a broken one
  double ended = 0;            // seconds since 1970
};

// The state of each cell, needs considered. A cell that broke before the time `again_before` counts as open.
std::map<std::string, State> states_of(const std::vector<Cell>& cells, const std::map<std::string, Record>& records,
                                       double again_before = 0);

}  // namespace ulmfit::study
