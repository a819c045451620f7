#include "base/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/file_lock.h"
#include "base/stopwatch.h"
#include "tests/support/temp_dir.h"

namespace ulmfit {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Ended, but not waited for: whoever adopts orphans here may not.
bool is_zombie(pid_t process) {
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  const std::size_t behind = text.rfind(')');
  return behind == std::string::npos || text.substr(behind + 2, 1) == "Z";
}

TEST(Program, GetsItsWordsAsTheyAreAndGivesItsStatus) {
  test::TempDir dir;
  EXPECT_EQ(run_program({"printf", "%s|", "a b", "$HOME", "", "'"}, dir / "out"), 0);
  EXPECT_EQ(read_file(dir / "out"), "a b|$HOME||'|");
  EXPECT_EQ(run_program({"sh", "-c", "exit 7"}), 7);
  EXPECT_EQ(run_program({"sh", "-c", "kill -TERM $$"}), 128 + 15);
  EXPECT_EQ(run_program({"cat"}, dir / "nothing"), 0);
  EXPECT_EQ(read_file(dir / "nothing"), "");
}

TEST(Program, EndsWithTheOneThatStartedIt) {
  test::TempDir dir;
  const std::string file = dir / "pid";
  const pid_t starter = fork();
  if (starter == 0) {
    run_program({"sh", "-c", "echo $$ > '" + file + "'; exec sleep 100"});
    _exit(0);
  }
  const Stopwatch watch;
  while (!fs::exists(file) || read_file(file).empty()) ASSERT_LT(watch.seconds(), 20);
  const auto started = static_cast<pid_t>(std::stol(read_file(file)));
  kill(starter, SIGKILL);
  waitpid(starter, nullptr, 0);
  while (kill(started, 0) == 0 && !is_zombie(started)) ASSERT_LT(watch.seconds(), 20);
}

TEST(Program, RunsBesideThisOneWithWhatItIsGiven) {
  test::TempDir dir;
  write_file_atomic(dir / "errors", "before\n");
  Program program({"sh", "-c", "echo $WORD; ls / > /dev/null; echo wrong >&2; read line || exit 3"},
                  {.output = dir / "out", .errors = dir / "errors", .environment = {"WORD=said", "PATH=/usr/bin:/bin"}});
  EXPECT_EQ(program.wait(), 3) << "standard input is empty";
  EXPECT_EQ(program.status(), 3);
  EXPECT_EQ(read_file(dir / "out"), "said\n");
  EXPECT_EQ(read_file(dir / "errors"), "before\nwrong\n");
  program.send(SIGTERM);  // it has ended: nothing is sent to who has its number now
}

TEST(Program, IsToldToEndAndAsked) {
  Program program({"sleep", "100"}, {.own_group = true});
  EXPECT_EQ(program.status(), std::nullopt);
  program.send(SIGUSR2);
  EXPECT_EQ(program.wait(), 128 + SIGUSR2);
  const Stopwatch watch;
  { const Program forgotten({"sleep", "100"}); }
  EXPECT_LT(watch.seconds(), 20) << "ended with the object";
}

TEST(Program, WorksInTheFolderThatItIsGiven) {
  test::TempDir dir;
  Program program({"sh", "-c", "pwd -P"}, {.output = dir / "out", .folder = dir.path()});
  EXPECT_EQ(program.wait(), 0);
  EXPECT_EQ(read_file(dir / "out"), fs::canonical(dir.path()).string() + "\n");
  EXPECT_THROW(Program({"true"}, {.folder = dir / "none"}), ConfigError);
}

TEST(Program, HoldsTheLockThatItIsGiven) {
  test::TempDir dir;
  auto lock = std::make_unique<FileLock>(dir / "lock");
  Program program({"sleep", "100"}, {.kept_open = lock->descriptor()});
  lock.reset();
  EXPECT_THROW(FileLock(dir / "lock"), CheckpointError);
  EXPECT_FALSE(FileLock::is_left_over(dir / "lock")) << "this process lives";
  program.send(SIGKILL);
  program.wait();
  EXPECT_NO_THROW(FileLock(dir / "lock"));
}

TEST(Program, RunsOnTheCoresThatItIsGiven) {
  test::TempDir dir;
  cpu_set_t mine;
  ASSERT_EQ(sched_getaffinity(0, sizeof mine, &mine), 0);
  int first = 0;
  while (!CPU_ISSET(static_cast<std::size_t>(first), &mine)) ++first;
  Program program({"nproc"}, {.output = dir / "out", .environment = {"PATH=/usr/bin:/bin"}, .cores = {first}});
  EXPECT_EQ(program.wait(), 0);
  EXPECT_EQ(read_file(dir / "out"), "1\n");
}

TEST(Program, ThatIsNotThereIsNamed) {
  EXPECT_THAT([] { run_program({"true"}, "/no-such-folder/out"); },
              ThrowsMessage<FileError>(HasSubstr("/no-such-folder/out")));
  EXPECT_THAT([] { run_program({"no-such-program"}); }, ThrowsMessage<ConfigError>(HasSubstr("no-such-program")));
}

TEST(Sha256, OfTheStandardsExample) {
  test::TempDir dir;
  write_file_atomic(dir / "-a file", "abc");
  EXPECT_EQ(sha256_of(dir / "-a file"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_THAT([&] { sha256_of(dir / "none"); }, ThrowsMessage<FileError>(HasSubstr("none")));
}

}  // namespace
}  // namespace ulmfit
