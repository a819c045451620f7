// Several labels a text: a label in the shards is then the number of a set of classes, and label_sets.txt of the corpus
// folder tells what each set holds. data_prep/FORMAT.md is the specification.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ulmfit::data {

// By number of the set: its classes, ascending; none of a text without a label.
using LabelSets = std::vector<std::vector<std::int32_t>>;

// What is wrong with them where there are so many classes, or nothing.
std::string label_sets_defect(const LabelSets& sets, std::size_t classes);

// A set a line, its classes by their numbers with a blank between them.
std::string label_sets_text(const LabelSets& sets);

// The sets of such lines. Throws DataError naming the line.
LabelSets parse_label_sets(const std::vector<std::string>& lines);

}  // namespace ulmfit::data
