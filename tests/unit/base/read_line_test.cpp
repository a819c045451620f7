#include "base/read_line.h"

#include <gtest/gtest.h>

#include <sstream>
#include <utility>
#include <vector>

namespace ulmfit {
namespace {

std::vector<std::pair<LineRead, std::string>> read_all(const std::string& text, std::int64_t max_bytes) {
  std::istringstream in(text);
  std::vector<std::pair<LineRead, std::string>> lines;
  std::string line;
  for (LineRead read; (read = read_line(in, line, max_bytes)) != LineRead::kEnd;) lines.emplace_back(read, line);
  EXPECT_EQ(line, "");
  return lines;
}

TEST(ReadLine, GivesWhatGetlineGives) {
  for (const std::string text : {"", "\n", "a", "a\n", "\n\na\r\n\nb", "a\nb\n\n"}) {
    std::istringstream in(text);
    std::vector<std::pair<LineRead, std::string>> expected;
    for (std::string line; std::getline(in, line);) expected.emplace_back(LineRead::kLine, line);
    EXPECT_EQ(read_all(text, 100), expected) << text;
  }
}

TEST(ReadLine, PassesOverWhatIsTooLong) {
  const std::string three = "abc\nabcd\n" + std::string(100'000, 'x') + "\nend";
  EXPECT_EQ(read_all(three, 3),
            (std::vector<std::pair<LineRead, std::string>>{
                {LineRead::kLine, "abc"}, {LineRead::kTooLong, ""}, {LineRead::kTooLong, ""}, {LineRead::kLine, "end"}}));
  EXPECT_EQ(read_all("abcd", 3), (std::vector<std::pair<LineRead, std::string>>{{LineRead::kTooLong, ""}}));
}

}  // namespace
}  // namespace ulmfit
