#include "optim/unfreeze_plan.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <stdexcept>

#include "base/error.h"

namespace ulmfit::optim {
namespace {

void append(std::string& list, const std::string& item) { list += (list.empty() ? "" : ", ") + item; }

constexpr std::int64_t kMostEpochs = 1'000'000;  // keeps sums far from overflow; nobody trains longer

std::vector<bool> last_groups(std::size_t count, std::size_t groups) {
  std::vector<bool> trainable(groups, false);
  for (std::size_t i = groups - count; i < groups; ++i) trainable[i] = true;
  return trainable;
}

// Phase k (from 0) trains the last k + 1 groups; the last phase trains all.
std::vector<Phase> growing(const std::vector<std::int64_t>& epochs, std::size_t groups) {
  std::vector<Phase> plan;
  for (std::size_t k = 0; k < epochs.size(); ++k) {
    const bool is_last = k + 1 == epochs.size();
    plan.push_back({last_groups(is_last ? groups : k + 1, groups), epochs[k]});
  }
  return plan;
}

// One epoch for each of `phases` phases but the last, which has the rest.
std::vector<std::int64_t> one_epoch_each(std::string_view name, std::size_t phases, std::size_t groups,
                                         std::int64_t total) {
  const auto least = static_cast<std::int64_t>(phases);
  if (total < least) {
    throw ConfigError(str("unfreezing plan '", name, "' has ", least, " phases of at least one epoch for ", groups,
                          " layer groups, but the stage has ", total, " epochs; give ", least,
                          " epochs or more, or another plan (full, last, or a list of epochs by phase)"));
  }
  std::vector<std::int64_t> epochs(phases, 1);
  epochs.back() = total - (least - 1);
  return epochs;
}

std::vector<bool> alone(std::size_t group, std::size_t groups) {
  std::vector<bool> trainable(groups, false);
  trainable[group] = true;
  return trainable;
}

// The groups of `order` one by one, then all if `all_at_the_end`.
std::vector<Phase> one_by_one(std::string_view name, const std::vector<std::size_t>& order, bool all_at_the_end,
                              std::size_t groups, std::int64_t total) {
  const std::size_t phases = order.size() + (all_at_the_end ? 1 : 0);
  const std::vector<std::int64_t> epochs = one_epoch_each(name, phases, groups, total);
  std::vector<Phase> plan;
  for (std::size_t k = 0; k < phases; ++k) {
    plan.push_back({k < order.size() ? alone(order[k], groups) : last_groups(groups, groups), epochs[k]});
  }
  return plan;
}

std::int64_t parse_epochs(std::string_view entry, std::string_view text) {
  std::int64_t epochs = 0;
  const auto [end, error] = std::from_chars(entry.data(), entry.data() + entry.size(), epochs);
  if (error != std::errc() || end != entry.data() + entry.size() || epochs < 1 || epochs > kMostEpochs) {
    std::string plans;
    for (const std::string_view plan : kUnfreezePlans) append(plans, std::string(plan));
    throw ConfigError(str("unfreezing plan '", text, "': '", entry, "' is neither a plan (", plans,
                          ") nor a number of epochs from 1 on; write a plan's name or the epochs of each phase, such as "
                          "1,1,1,3"));
  }
  return epochs;
}

std::vector<Phase> explicit_epochs(std::string_view text, std::size_t groups, std::int64_t total) {
  std::vector<std::int64_t> epochs;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    epochs.push_back(parse_epochs(text.substr(at, end - at), text));
    at = end + 1;
  }
  if (epochs.size() > groups) {
    throw ConfigError(str("unfreezing plan '", text, "' has ", epochs.size(), " phases, but the model has only ", groups,
                          " layer groups to unfreeze; give ", groups, " phases or fewer"));
  }
  const std::int64_t sum = std::accumulate(epochs.begin(), epochs.end(), std::int64_t{0});
  if (sum != total) {
    throw ConfigError(str("unfreezing plan '", text, "' adds up to ", sum, " epochs, but the stage has ", total,
                          "; set the epochs to ", sum, " or change the plan"));
  }
  return growing(epochs, groups);
}

}  // namespace

std::vector<Phase> parse_unfreeze_plan(std::string_view text, std::size_t groups, std::int64_t total_epochs) {
  if (groups == 0) throw std::invalid_argument("parse_unfreeze_plan: a model without layer groups");
  if (total_epochs < 1) {
    throw ConfigError(str("unfreezing plan '", text, "' needs one epoch or more, but the stage has ", total_epochs));
  }
  if (text == "full") return {{last_groups(groups, groups), total_epochs}};
  if (text == "last") return {{last_groups(1, groups), total_epochs}};
  if (text == "paper") return growing(one_epoch_each(text, groups, groups, total_epochs), groups);
  if (text == "released") {
    return growing(one_epoch_each(text, std::min<std::size_t>(3, groups), groups, total_epochs), groups);
  }
  std::vector<std::size_t> order(groups);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (text == "bottom-up") return one_by_one(text, order, /*all_at_the_end=*/false, groups, total_epochs);
  if (text == "chain-thaw") {
    std::rotate(order.begin(), order.end() - 1, order.end());
    return one_by_one(text, order, /*all_at_the_end=*/groups > 1, groups, total_epochs);
  }
  return explicit_epochs(text, groups, total_epochs);
}

std::vector<Phase> restricted(std::vector<Phase> plan, const std::vector<std::string>& group_names,
                              const std::vector<std::string>& wanted) {
  std::string known;
  for (const std::string& name : group_names) append(known, name);
  for (const std::string& name : wanted) {
    if (std::find(group_names.begin(), group_names.end(), name) == group_names.end()) {
      throw ConfigError(str("there is no layer group '", name, "' to train; this model has ", known));
    }
  }
  for (std::size_t k = 0; k < plan.size(); ++k) {
    std::vector<bool>& trainable = plan[k].trainable;
    for (std::size_t i = 0; i < trainable.size(); ++i) {
      trainable[i] = trainable[i] && std::find(wanted.begin(), wanted.end(), group_names[i]) != wanted.end();
    }
    if (std::find(trainable.begin(), trainable.end(), true) == trainable.end()) {
      throw ConfigError(str("phase ", k + 1,
                            " of the unfreezing plan trains none of the groups that may train; take plan "
                            "full, or name more groups of ",
                            known));
    }
  }
  return plan;
}

std::vector<std::string> describe(const std::vector<Phase>& plan, const std::vector<std::string>& group_names,
                                  const std::vector<std::vector<double>>& highest_rates) {
  std::vector<std::string> lines;
  std::int64_t first = 1;
  for (std::size_t k = 0; k < plan.size(); ++k) {
    const Phase& phase = plan[k];
    std::string trained;
    std::string frozen;
    for (std::size_t i = 0; i < phase.trainable.size(); ++i) {
      const std::string& name = group_names.at(i);
      if (phase.trainable[i]) append(trained, str(name, " (", highest_rates.at(k).at(i), ")"));
      if (!phase.trainable[i]) append(frozen, name);
    }
    const std::int64_t last = first + phase.epochs - 1;
    const std::string epochs = first == last ? str("epoch ", first) : str("epochs ", first, "-", last);
    lines.push_back(
        str("phase ", k + 1, ", ", epochs, ": trains ", trained, "; frozen: ", frozen.empty() ? "none" : frozen));
    first = last + 1;
  }
  return lines;
}

}  // namespace ulmfit::optim
