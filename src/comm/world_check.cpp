#include "comm/world_check.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/hash.h"
#include "base/machine.h"

namespace ulmfit::comm {
namespace {

constexpr std::size_t kShown = 80;        // characters of a value shown in a message
constexpr std::size_t kShownBefore = 20;  // of these, before the first difference
constexpr std::size_t kListed = 8;        // ranks of a fact, facts of a message
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

// What all ranks brought, by rank.
struct Gathered {
  std::vector<std::string> hosts;
  std::vector<std::string> names;  // in the order in which ranks bring them
  std::vector<std::map<std::string, std::string>> values;
};

Gathered gather(Communicator& comm, const Facts& facts) {
  Gathered all;
  const nlohmann::json mine{{"host", host_name()}, {"facts", facts}};
  for (const auto& bytes : comm.all_gather_bytes(mine.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))) {
    const auto json = nlohmann::json::parse(bytes);
    all.hosts.push_back(json.at("host").get<std::string>());
    auto& values = all.values.emplace_back();
    for (const auto& [name, value] : json.at("facts").get<Facts>()) {
      values[name] = value;
      if (std::find(all.names.begin(), all.names.end(), name) == all.names.end()) all.names.push_back(name);
    }
  }
  return all;
}

struct Differences {
  std::string text;  // a line for each fact, up to kListed; empty: none
  bool tie = false;
};

Differences compare(const Gathered& all) {
  Differences found;
  std::size_t count = 0;
  for (const std::string& name : all.names) {
    std::vector<std::string> values;
    for (const auto& of_rank : all.values) {
      const auto value = of_rank.find(name);
      values.push_back(value == of_rank.end() ? kNoValue : value->second);
    }
    const Split split = split_by_majority(values);
    if (split.odd.empty()) continue;
    if (++count <= kListed) found.text += difference(name, split, values, all.hosts);
    found.tie = found.tie || split.tie;
  }
  if (count > kListed) found.text += str("\n  and ", count - kListed, " more");
  return found;
}

}  // namespace

void require_same_device(Communicator& comm, at::DeviceType mine) {
  const std::string here = at::DeviceTypeName(mine, /*lower_case=*/true);
  const std::vector<std::string> devices = comm.all_gather_bytes(here), hosts = comm.all_gather_bytes(host_name());
  const Split split = split_by_majority(devices);
  if (split.odd.empty()) return;
  throw ConfigError(str("starting ", comm.size(), " ranks: ", rank_list(split.odd, hosts), " would compute on ",
                        devices[static_cast<std::size_t>(split.odd.front())], ", the others on ", split.usual,
                        ": a rank takes a GPU if it sees one; see what CUDA_VISIBLE_DEVICES and the launcher show to each, "
                        "or give all --device cpu"));
}

void world_check(Communicator& comm, const Facts& facts) {
  const Differences found = compare(gather(comm, facts));
  if (found.text.empty()) return;
  throw CommError(str("comparing the ", comm.size(), " ranks before the start: they do not run the same thing.", found.text,
                      "\nGive every host the same program, files and settings, and start again."));
}

void state_agreement(Communicator& comm, const StateHashes& state, std::int64_t step) {
  std::vector<std::uint64_t> hashes;
  for (const auto& [name, hash] : state) hashes.push_back(hash);
  const std::uint64_t all_of_mine = hash64(hashes.data(), hashes.size() * sizeof(std::uint64_t));
  const at::Tensor all = comm.all_gather(at::tensor({static_cast<std::int64_t>(all_of_mine), step}, at::kLong));
  bool agree = true;
  for (int rank = 1; rank < comm.size(); ++rank) agree = agree && at::equal(all[rank], all[0]);
  if (agree) return;  // the same on every rank, so all return or none

  Facts facts{{"steps done", std::to_string(step)}};
  for (const auto& [name, hash] : state) facts.emplace_back(name, "hash " + hex(hash));
  const Differences found = compare(gather(comm, facts));
  throw CommError(str("comparing parameters, moments and learning rates of the ", comm.size(), " ranks after step ", step,
                      ": they have come apart.", found.text,
                      found.tie ? "\nIt is a tie: neither side is known to be right." : "",
                      "\nStart again from the last checkpoint; if it is the same host again, test its memory."));
}

}  // namespace ulmfit::comm
