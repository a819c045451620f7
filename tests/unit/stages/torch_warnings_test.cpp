#include "stages/torch_warnings.h"

#include <gtest/gtest.h>

#include <string>

#include "base/file.h"
#include "base/log.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::stages {
namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(WarnOnce, TellsEachWarningOnceAndTwentyAtMost) {
  const test::TempDir dir;
  log::open_file(dir / "log.txt");
  {
    WarnOnce handler(/*tells=*/true);
    const c10::WarningUtils::WarningHandlerGuard guard(&handler);
    for (int call = 0; call < 1000; ++call) TORCH_WARN("weights are not contiguous");
    for (int kind = 0; kind < 30; ++kind) TORCH_WARN("another, nr. ", kind);
  }
  {
    WarnOnce silent(/*tells=*/false);
    const c10::WarningUtils::WarningHandlerGuard guard(&silent);
    TORCH_WARN("of another rank");
  }
  log::close_file();
  const std::string told = read_file(dir / "log.txt");
  EXPECT_EQ(count(told, "weights are not contiguous"), 1U) << told;
  EXPECT_EQ(count(told, "another, nr. "), 19U) << told;
  EXPECT_EQ(count(told, "of another rank"), 0U) << told;
  EXPECT_EQ(count(told, "[libtorch]"), 20U) << told;
}

}  // namespace
}  // namespace ulmfit::stages
