#include "comm/world_check.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/machine.h"

namespace ulmfit::comm {
namespace {

constexpr std::size_t kShown = 80;        // characters of a value shown in a message
constexpr std::size_t kShownBefore = 20;  // of these, before the first difference
constexpr const char* kNoValue = "(absent)";

struct Split {
  std::string usual;     // the value that most ranks have; at a tie, that of the lowest rank
  std::vector<int> odd;  // the ranks that have another
  bool tie = false;
};

Split split_by_majority(const std::vector<std::string>& values) {
  std::map<std::string, int> counts;
  for (const std::string& value : values) ++counts[value];
  Split split{values.front(), {}};
  for (const std::string& value : values) {
    if (counts[value] > counts[split.usual]) split.usual = value;
  }
  for (const auto& [value, count] : counts) split.tie = split.tie || (value != split.usual && count == counts[split.usual]);
  for (std::size_t rank = 0; rank < values.size(); ++rank) {
    if (values[rank] != split.usual) split.odd.push_back(static_cast<int>(rank));
  }
  return split;
}

std::string rank_list(const std::vector<int>& ranks, const std::vector<std::string>& hosts) {
  constexpr std::size_t kListed = 8;
  std::string list = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < std::min(ranks.size(), kListed); ++i) {
    const int rank = ranks[i];
    list += str(i == 0 ? "" : ", ", rank, " (", hosts[static_cast<std::size_t>(rank)], ")");
  }
  return ranks.size() > kListed ? str(list, " and ", ranks.size() - kListed, " more") : list;
}

// The part of `value` around `place`, in quotes.
std::string excerpt(const std::string& value, std::size_t place) {
  if (value.size() <= kShown) return str("'", value, "'");
  const std::size_t begin = place > kShownBefore ? place - kShownBefore : 0;
  return str(begin > 0 ? "'..." : "'", value.substr(begin, kShown), begin + kShown < value.size() ? "...'" : "'");
}

std::string difference(const std::string& name, const Split& split, const std::vector<std::string>& values,
                       const std::vector<std::string>& hosts) {
  const std::string& odd_value = values[static_cast<std::size_t>(split.odd.front())];
  const auto [left, right] = std::mismatch(split.usual.begin(), split.usual.end(), odd_value.begin(), odd_value.end());
  const auto place = static_cast<std::size_t>(left - split.usual.begin());
  return str("\n  ", name, ": ", rank_list(split.odd, hosts), split.odd.size() == 1 ? " has " : " differ, the first has ",
             excerpt(odd_value, place), ", the other ", values.size() - split.odd.size(), " ", excerpt(split.usual, place));
}

std::string hex(std::uint64_t value) {
  std::ostringstream out;
  out << std::hex << std::setw(16) << std::setfill('0') << value;
  return out.str();
}

}  // namespace

void world_check(Communicator& comm, const Facts& facts) {
  const std::vector<std::string> packed = comm.all_gather_bytes(nlohmann::json{
      {"host", host_name()}, {"facts", facts}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  std::vector<std::string> hosts;
  std::vector<std::string> names;                             // in the order in which ranks bring them
  std::vector<std::map<std::string, std::string>> values_of;  // by rank
  for (const std::string& bytes : packed) {
    const auto json = nlohmann::json::parse(bytes);
    hosts.push_back(json.at("host").get<std::string>());
    std::map<std::string, std::string>& values = values_of.emplace_back();
    for (const auto& [name, value] : json.at("facts").get<Facts>()) {
      values[name] = value;
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  std::string differences;
  for (const std::string& name : names) {
    std::vector<std::string> values;
    for (const auto& of_rank : values_of) {
      const auto found = of_rank.find(name);
      values.push_back(found == of_rank.end() ? kNoValue : found->second);
    }
    const Split split = split_by_majority(values);
    if (!split.odd.empty()) differences += difference(name, split, values, hosts);
  }
  if (differences.empty()) return;
  throw CommError(str("comparing the ", comm.size(), " ranks before the start: they do not run the same thing.",
                      differences, "\nGive every host the same program, files and settings, and start again."));
}

void state_agreement(Communicator& comm, std::uint64_t hash, std::int64_t step) {
  at::Tensor mine = at::tensor({static_cast<std::int64_t>(hash), step}, at::kLong);
  const at::Tensor all = comm.all_gather(mine);
  std::vector<std::string> states;
  for (int rank = 0; rank < comm.size(); ++rank) {
    states.push_back(str("step ", all[rank][1].item<std::int64_t>(), " hash ",
                         hex(static_cast<std::uint64_t>(all[rank][0].item<std::int64_t>()))));
  }
  const Split split = split_by_majority(states);
  if (split.odd.empty()) return;  // the same on every rank, so all return or none
  std::vector<std::string> hosts = comm.all_gather_bytes(host_name());
  throw CommError(str("comparing parameters, moments and learning rate of the ", comm.size(), " ranks after step ", step,
                      ": they have come apart.", difference("state", split, states, hosts),
                      split.tie ? "\nIt is a tie: neither side is known to be right." : "",
                      "\nStart again from the last checkpoint; if it is the same host again, test its memory."));
}

}  // namespace ulmfit::comm
