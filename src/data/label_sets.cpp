#include "data/label_sets.h"

#include <charconv>
#include <map>

#include "base/error.h"

namespace ulmfit::data {
namespace {

constexpr std::size_t kMostShown = 60;  // bytes of a bad line

std::string line_of(const std::vector<std::int32_t>& set) {
  std::string line;
  for (const std::int32_t c : set) line += str(line.empty() ? "" : " ", c);
  return line;
}

std::vector<std::int32_t> numbers_in(const std::string& line) {
  std::vector<std::int32_t> numbers;
  const char* const end = line.data() + line.size();
  for (const char* at = line.data(); at < end; ++at) {  // the step passes over the blank behind a number
    std::int32_t number = 0;
    const auto [behind, error] = std::from_chars(at, end, number);
    if (error != std::errc{}) break;
    numbers.push_back(number);
    at = behind;
  }
  return numbers;
}

}  // namespace

std::string label_sets_defect(const LabelSets& sets, std::size_t classes) {
  std::map<std::vector<std::int32_t>, std::size_t> seen;
  for (std::size_t s = 0; s < sets.size(); ++s) {
    const std::vector<std::int32_t>& set = sets[s];
    for (std::size_t i = 0; i < set.size(); ++i) {
      if (set[i] < 0 || static_cast<std::size_t>(set[i]) >= classes) {
        return str("label set ", s, " has class ", set[i], ", but there are ", classes, " classes");
      }
      if (i > 0 && set[i] <= set[i - 1]) return str("the classes of label set ", s, " are not ascending: ", line_of(set));
    }
    const auto [first, is_new] = seen.try_emplace(set, s);
    if (!is_new) return str("label sets ", first->second, " and ", s, " are the same");
  }
  return {};
}

std::string label_sets_text(const LabelSets& sets) {
  std::string text;
  for (const auto& set : sets) text += line_of(set) + '\n';
  return text;
}

LabelSets parse_label_sets(const std::vector<std::string>& lines) {
  LabelSets sets;
  for (const std::string& line : lines) {
    sets.push_back(numbers_in(line));
    if (line_of(sets.back()) == line) continue;
    throw DataError(str("line ", sets.size(), " of the label sets is '", line.substr(0, kMostShown),
                        "', expected numbers of classes with one blank between them"));
  }
  return sets;
}

}  // namespace ulmfit::data
