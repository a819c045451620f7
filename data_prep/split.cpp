#include "data_prep/split.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/random.h"

namespace ulmfit::data_prep {
namespace {

std::int64_t target(double share, std::int64_t count) {
  if (share == 0 || count < 2) return 0;
  return std::clamp<std::int64_t>(std::llround(share * static_cast<double>(count)), 1, count - 1);
}

// 0 .. n-1 in the order of their draws.
std::vector<std::size_t> drawn_order(std::size_t n, std::uint64_t seed) {
  const RandomKey key{seed, Purpose::kSplit, 0, 0};
  std::vector<std::pair<std::uint32_t, std::size_t>> draws(n);
  for (std::size_t i = 0; i < n; ++i) draws[i] = {random_word(key, i), i};
  std::sort(draws.begin(), draws.end());
  std::vector<std::size_t> order(n);
  std::transform(draws.begin(), draws.end(), order.begin(), [](const auto& draw) { return draw.second; });
  return order;
}

// The documents of each group, groups in the order of their first documents.
std::vector<std::vector<std::size_t>> by_group(const std::vector<std::int32_t>& groups) {
  std::vector<std::vector<std::size_t>> units;
  std::map<std::int32_t, std::size_t> unit_of;
  for (std::size_t d = 0; d < groups.size(); ++d) {
    const auto [entry, is_new] =
        groups[d] < 0 ? std::pair{unit_of.end(), true} : unit_of.try_emplace(groups[d], units.size());
    if (is_new) units.emplace_back();
    units[is_new ? units.size() - 1 : entry->second].push_back(d);
  }
  return units;
}

}  // namespace

void check_share(double share) {
  if (!(share >= 0 && share < 1))
    throw ConfigError(str("the validation share must be at least 0 and below 1, found ", share));
}

std::vector<bool> hold_out(std::int64_t documents, double share, std::uint64_t seed) {
  check_share(share);
  std::vector<bool> held_out(static_cast<std::size_t>(documents), false);
  if (share == 0) return held_out;
  if (documents < 2) {
    throw DataError(
        str("cannot hold out validation text from ", documents,
            " document: give validation text of its own, another format that cuts it into documents, or share 0"));
  }
  const std::vector<std::size_t> order = drawn_order(held_out.size(), seed);
  for (std::int64_t i = 0; i < target(share, documents); ++i) held_out[order[static_cast<std::size_t>(i)]] = true;
  return held_out;
}

std::int64_t held_out_by_label(const std::vector<std::int32_t>& labels, double share) {
  std::map<std::int32_t, std::int64_t> counts;
  for (const std::int32_t label : labels) ++counts[label];
  std::int64_t held_out = 0;
  for (const auto& [label, count] : counts) held_out += target(share, count);
  return held_out;
}

std::vector<bool> hold_out_by_label(const std::vector<std::int32_t>& labels, const std::vector<std::int32_t>& groups,
                                    double share, std::uint64_t seed) {
  check_share(share);
  std::map<std::int32_t, std::int64_t> open;  // how many documents of each label are still wanted
  for (const std::int32_t label : labels) ++open[label];
  for (auto& [label, count] : open) count = target(share, count);

  std::vector<bool> held_out(labels.size(), false);
  const std::vector<std::vector<std::size_t>> units = by_group(groups);
  bool any = false;
  for (const std::size_t u : drawn_order(units.size(), seed)) {
    std::map<std::int32_t, std::int64_t> needed;
    for (const std::size_t d : units[u]) ++needed[labels[d]];
    const auto fits = [&](const auto& entry) { return entry.second <= open[entry.first]; };
    if (!std::all_of(needed.begin(), needed.end(), fits)) continue;
    for (const auto& [label, count] : needed) open[label] -= count;
    for (const std::size_t d : units[u]) held_out[d] = true;
    any = true;
  }
  if (share > 0 && !any) {
    throw DataError(str("cannot hold out a share of ", share, " of ", labels.size(), " training texts in ", units.size(),
                        " groups for validation: every group or class is too large or too small; give validation texts"));
  }
  return held_out;
}

std::vector<std::int32_t> folds_by_label(const std::vector<std::int32_t>& labels, const std::vector<std::int32_t>& groups,
                                         std::int32_t folds, std::uint64_t seed) {
  const std::vector<std::vector<std::size_t>> units = by_group(groups);
  if (folds < 2 || units.size() < static_cast<std::size_t>(folds)) {
    throw DataError(str("cannot cut ", labels.size(), " training texts in ", units.size(), " groups into ", folds,
                        " folds: expected from 2 to ", units.size()));
  }
  std::vector<std::int32_t> fold_of(labels.size(), 0);
  std::vector<std::map<std::int32_t, std::int64_t>> by_label(static_cast<std::size_t>(folds));
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(folds), 0);
  for (const std::size_t u : drawn_order(units.size(), seed)) {
    // The fold that has the fewest of the unit's labels, of several the smallest, of these the first.
    std::size_t best = 0;
    std::pair<std::int64_t, std::int64_t> fewest;
    for (std::size_t f = 0; f < by_label.size(); ++f) {
      std::int64_t alike = 0;
      for (const std::size_t d : units[u]) alike += by_label[f][labels[d]];
      const std::pair found{alike, sizes[f]};
      if (f == 0 || found < fewest) {
        fewest = found;
        best = f;
      }
    }
    for (const std::size_t d : units[u]) {
      fold_of[d] = static_cast<std::int32_t>(best);
      ++by_label[best][labels[d]];
      ++sizes[best];
    }
  }
  return fold_of;
}

}  // namespace ulmfit::data_prep
