// A GoogleTest program whose ranks run the same tests in the same order: --ranks=N says how many must have come together,
// --device=cuda that their tensors are on GPUs.
// A rank that cannot start, or that sees another number, fails; so does the run if a test fails on any rank.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include "base/log.h"
#include "comm/launch.h"
#include "tests/distributed/ranks.h"

namespace ulmfit::test {
namespace {

constexpr ExitCode kFailed{1};
comm::Communicator* the_ranks = nullptr;

// Ranks other than 0 print their failures only.
class FailuresOnly : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::cerr << "rank " << ranks().rank() << ": " << (result.file_name() == nullptr ? "" : result.file_name()) << ":"
              << result.line_number() << ": " << result.message() << std::endl;
  }
};

ExitCode run_tests(comm::Communicator& communicator, int expected) {
  if (communicator.size() != expected) {
    throw CommError(str("expected ", expected, " ranks, found ", communicator.size()));
  }
  the_ranks = &communicator;
  if (communicator.rank() != 0) {
    testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailuresOnly);
  }
  const bool passed = RUN_ALL_TESTS() == 0 && testing::UnitTest::GetInstance()->test_to_run_count() > 0;
  std::string verdict = passed ? "" : "failed";
  for (const std::string& other : communicator.all_gather_bytes(verdict)) verdict += other;
  return verdict.empty() ? ExitCode::kDone : kFailed;
}

}  // namespace

comm::Communicator& ranks() { return *the_ranks; }

}  // namespace ulmfit::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  constexpr std::string_view kRanks = "--ranks=";
  int expected = 0;
  ulmfit::comm::LaunchOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kRanks)) expected = std::atoi(argument.substr(kRanks.size()).data());
    if (argument == "--device=cuda") options.device = at::kCUDA;
  }
  options.deadline = std::chrono::seconds(60);
  try {
    const ulmfit::ExitCode code = ulmfit::comm::run_on_ranks(
        options, [&](ulmfit::comm::Communicator& comm) { return ulmfit::test::run_tests(comm, expected); });
    ulmfit::comm::leave_ranks();
    return static_cast<int>(code);
  } catch (const ulmfit::Error& error) {
    ulmfit::log::error("test", error.what());
    return static_cast<int>(error.code());
  }
}
