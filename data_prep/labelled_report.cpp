#include "data_prep/labelled_report.h"

#include <bit>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace ulmfit::data_prep {
namespace {

std::string place(const LabelledSet& set, const LabelledDocument& d) {
  return str(set.files[static_cast<std::size_t>(d.file)], ":", d.line);
}

std::string place(const LabelledSet& set, std::int64_t document) {
  return place(set, set.documents[static_cast<std::size_t>(document)]);
}

std::vector<PrepareReport::Repeats> count_repeats(const LabelledSet& set, const Overlaps& overlaps,
                                                  const std::map<std::string, PrepareReport::Counts>& splits) {
  std::vector<PrepareReport::Repeats> all;
  for (const Split of : kSplits) {
    for (const Split repeats : kSplits) {
      if (repeats < of || !splits.contains(name(of)) || !splits.contains(name(repeats))) continue;
      const unsigned bit = 1U << static_cast<unsigned>(of);
      PrepareReport::Repeats pair{name(repeats), name(of), 0, 0};
      for (std::size_t d = 0; d < set.documents.size(); ++d) {
        if (set.documents[d].split != repeats) continue;
        pair.exact += (overlaps.exact[d] & bit) != 0 ? 1 : 0;
        pair.near += (overlaps.near[d] & bit) != 0 ? 1 : 0;
      }
      all.push_back(pair);
    }
  }
  return all;
}

void find_disagreements(const LabelledSet& set, const Overlaps& overlaps, PrepareReport& report) {
  std::map<std::int64_t, std::int64_t> first_labelled;  // of each text that stands more than once, by its first copy
  for (std::size_t d = 0; d < set.documents.size(); ++d) {
    const std::int32_t label = set.documents[d].label;
    if (label < 0) continue;
    const std::int64_t first = first_labelled.try_emplace(overlaps.first[d], d).first->second;
    const std::int32_t first_label = set.documents[static_cast<std::size_t>(first)].label;
    if (label == first_label) continue;
    ++report.disagreements;
    if (report.disagreement_examples.size() == kExamples) continue;
    report.disagreement_examples.push_back(str(place(set, first), " ", set.told(first_label), ", ",
                                               place(set, static_cast<std::int64_t>(d)), " ", set.told(label)));
  }
}

void find_leaking_groups(const LabelledSet& set, PrepareReport& report) {
  std::vector<unsigned> splits(set.groups.size(), 0);
  for (const LabelledDocument& d : set.documents) {
    if (d.group >= 0) splits[static_cast<std::size_t>(d.group)] |= 1U << static_cast<unsigned>(d.split);
  }
  for (std::size_t g = 0; g < splits.size(); ++g) {
    if (std::popcount(splits[g]) < 2) continue;
    ++report.leaking_groups;
    if (report.leaking_group_examples.size() < kExamples) report.leaking_group_examples.push_back(set.groups[g]);
  }
}

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += str(text.empty() ? "" : "; ", item);
  return text;
}

std::string counted(std::int64_t count, const char* one, const char* several) {
  return str(count, count == 1 ? one : several);
}

std::string sentence(const PrepareReport::Repeats& pair) {
  const std::string other = str(pair.repeats == pair.of ? "an earlier" : "a", " text of ", pair.of);
  const std::string run = str(" a run of ", kRunWords, " words with ");
  const std::string exact = str(counted(pair.exact, " text repeats ", " texts repeat "), other, " exactly");
  if (pair.near == 0) return str(pair.repeats, ": ", exact);
  if (pair.exact == 0) return str(pair.repeats, ": ", counted(pair.near, " text shares", " texts share"), run, other);
  return str(pair.repeats, ": ", exact, ", ", counted(pair.near, " shares", " share"), run, "one");
}

// Figures are measured on texts that something else has, too.
bool makes_doubtful(const PrepareReport::Repeats& pair) {
  const auto judged = [](const std::string& split) { return split == "valid" || split == "test"; };
  return pair.repeats != pair.of && (judged(pair.repeats) || judged(pair.of)) && pair.exact + pair.near > 0;
}

}  // namespace

std::string name(Split split) {
  constexpr const char* kNames[] = {"train", "valid", "test", "unlabelled"};
  return kNames[static_cast<std::size_t>(split)];
}

std::vector<std::int32_t> LabelledSet::classes_of(std::int32_t label) const {
  if (label < 0) return {};
  return multilabel() ? label_sets[static_cast<std::size_t>(label)] : std::vector{label};
}

std::string LabelledSet::told(std::int32_t label) const {
  std::string text;
  for (const std::int32_t c : classes_of(label)) {
    text += str(text.empty() ? "" : " + ", labels[static_cast<std::size_t>(c)]);
  }
  return text.empty() ? "none" : text;
}

PrepareReport examine(const LabelledSet& set, const Overlaps& overlaps, bool validation_given) {
  PrepareReport report;
  report.validation_given = validation_given;
  for (const LabelledDocument& d : set.documents) {
    PrepareReport::Counts& counts = report.splits[name(d.split)];
    ++counts.documents;
    const std::vector<std::int32_t> classes = set.classes_of(d.label);
    for (const std::int32_t c : classes) ++counts.classes[set.labels[static_cast<std::size_t>(c)]];
    if (d.label >= 0 && classes.empty()) ++counts.of_no_class;
    if (d.label < 0 || !d.empty) continue;
    ++counts.empty;
    if (counts.empty_examples.size() < kExamples) counts.empty_examples.push_back(place(set, d));
  }
  report.about_files = set.doubts;
  report.repeats = count_repeats(set, overlaps, report.splits);
  find_disagreements(set, overlaps, report);
  find_leaking_groups(set, report);
  return report;
}

nlohmann::json PrepareReport::to_json() const {
  const char* held_out = splits.contains("valid") ? "held out" : "none";
  nlohmann::json json = {{"validation", validation_given ? "given" : held_out},
                         {"near_duplicate_words", kRunWords},
                         {"labels_that_disagree", {{"texts", disagreements}, {"examples", disagreement_examples}}},
                         {"groups_that_leak", {{"groups", leaking_groups}, {"examples", leaking_group_examples}}}};
  for (const auto& [split, counts] : splits) {
    json["splits"][split] = {{"documents", counts.documents},
                             {"tokens", counts.tokens},
                             {"unknown_share", counts.unknown_share()},
                             {"known_only_share", counts.known_only_share()},
                             {"classes", counts.classes}};
    if (!counts.classes.empty()) json["splits"][split]["empty"] = counts.empty;
    if (counts.of_no_class > 0) json["splits"][split]["of_no_class"] = counts.of_no_class;
  }
  json["doubts"] = doubts();
  json["repeats"] = nlohmann::json::array();
  for (const Repeats& pair : repeats) {
    nlohmann::json found = {{"documents_of", pair.repeats}, {"that_repeat", pair.of}, {"exact", pair.exact}};
    if (pair.of != name(Split::kUnlabelled)) found["near"] = pair.near;
    json["repeats"].push_back(std::move(found));
  }
  return json;
}

void PrepareReport::log() const {
  constexpr std::size_t kLongestLine = 200;  // of classes
  for (const auto& [split, counts] : splits) {
    std::string classes;
    std::size_t told = 0;
    for (const auto& [label, count] : counts.classes) {
      if (classes.size() >= kLongestLine) break;
      classes += str(told++ == 0 ? "" : ", ", label, " ", count);
    }
    if (told < counts.classes.size()) classes += str(" and ", counts.classes.size() - told, " more (report.json has all)");
    if (!classes.empty()) log::info("prepare", str(split, " by class: ", classes));
    if (counts.of_no_class > 0) {
      log::info("prepare",
                str(split, ": ", counts.of_no_class, " of ", counts.documents, " texts have none of the classes"));
    }
  }
  for (const Repeats& pair : repeats) {
    if (!makes_doubtful(pair) && pair.exact + pair.near > 0) log::info("prepare", sentence(pair));
  }
  for (const std::string& doubt : doubts()) log::warn("prepare", doubt);
}

std::vector<std::string> PrepareReport::doubts() const {
  std::vector<std::string> found = about_files;
  for (const auto& [split, counts] : splits) {
    if (counts.empty == 0) continue;
    found.push_back(str(split, ": texts that are empty: ", counts.empty, ", ",
                        std::cmp_less(counts.empty_examples.size(), counts.empty) ? "such as " : "",
                        joined(counts.empty_examples), "; leave them out, for nothing can be learned or told of them"));
  }
  for (const Repeats& pair : repeats) {
    if (makes_doubtful(pair)) found.push_back(sentence(pair));
  }
  if (disagreements > 0) {
    found.push_back(str(counted(disagreements, " text repeats", " texts repeat"),
                        " another one with a different label: ", joined(disagreement_examples)));
  }
  if (leaking_groups > 0) {
    found.push_back(str(counted(leaking_groups, " group stands", " groups stand"),
                        " in more than one split: ", joined(leaking_group_examples)));
  }
  return found;
}

}  // namespace ulmfit::data_prep
