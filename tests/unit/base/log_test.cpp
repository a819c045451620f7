#include "base/log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace ulmfit {
namespace {

TEST(Log, FilesMayChangeWhileThreadsLog) {
  const test::TempDir dir;
  std::atomic<bool> ended = false;
  std::thread other([&] {
    while (!ended) log::info("test", "of another thread");
  });
  for (int round = 0; round < 20; ++round) {
    log::open_file(dir / "log.txt");
    log::info("test", "a line");
  }
  log::close_file();
  log::info("test", "after the end");
  ended = true;
  other.join();
  const std::string told = read_file(dir / "log.txt");
  EXPECT_NE(told.find("[test] a line"), std::string::npos);
  EXPECT_EQ(told.find("after the end"), std::string::npos);
}

}  // namespace
}  // namespace ulmfit
