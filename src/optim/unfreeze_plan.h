// Which layer groups train in which epochs: gradual unfreezing (Howard & Ruder 2018, section 3.3) and its relatives.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ulmfit::optim {

// Epochs that train the same groups. Groups are ordered shallow to deep; the last is the head.
struct Phase {
  std::vector<bool> trainable;  // by group
  std::int64_t epochs = 0;      // 1 or more
};

// The names of plans that parse_unfreeze_plan() takes.
inline constexpr std::string_view kUnfreezePlans[] = {"full", "last", "paper", "released", "chain-thaw", "bottom-up"};

// The phases that `text` names, for `groups` layer groups over `total_epochs`:
//   full        all groups in all epochs
//   last        the last group only, in all epochs
//   paper       the last group for one epoch, then one more group each epoch, then all for the epochs that remain
//   released    as the scripts released with the paper: the last group one epoch, the last two one epoch, then all
//   chain-thaw  one epoch each: the last group alone, then every other alone from the first on; then all for the rest
//               (Felbo et al. 2017)
//   bottom-up   each group alone, from the first on, one epoch each; the last for the epochs that remain
//   1,1,1,3     epochs by phase: phase k trains the last k groups, the last phase all
// Throws ConfigError on anything else, on fewer epochs than phases, and on lists whose sum is not `total_epochs`.
std::vector<Phase> parse_unfreeze_plan(std::string_view text, std::size_t groups, std::int64_t total_epochs);

// `plan` with no other groups trained than those in `wanted`, by their names. Throws ConfigError for a name that is none of
// `group_names`, and for a phase in which nothing would train.
std::vector<Phase> restricted(std::vector<Phase> plan, const std::vector<std::string>& group_names,
                              const std::vector<std::string>& wanted);

// The plan as lines to print, one a phase: its epochs, the groups that train with their highest rates, those that don't.
// `highest_rates` by phase and group.
std::vector<std::string> describe(const std::vector<Phase>& plan, const std::vector<std::string>& group_names,
                                  const std::vector<std::vector<double>>& highest_rates);

}  // namespace ulmfit::optim
