#include "comm/gpu_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::comm {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(GpuChoice, RanksThatSeeAllTakeTheirOwnInOrder) {
  EXPECT_THAT(choose_gpus({{"a", "b"}, {"a", "b"}, {"c", "d"}, {"c", "d"}}, false), ElementsAre(0, 1, 0, 1)) << "two hosts";
  EXPECT_THAT(choose_gpus({{"a", "b", "c"}, {"a", "b", "c"}}, false), ElementsAre(0, 1)) << "more GPUs than ranks";
}

TEST(GpuChoice, RanksThatSeeOneTakeIt) {
  EXPECT_THAT(choose_gpus({{"a"}, {"b"}, {"c"}, {"d"}}, false), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(choose_gpus({{"b", "a"}, {"a", "b"}}, false), ElementsAre(0, 0)) << "each in an order of its own";
}

TEST(GpuChoice, TwoRanksOnOneAreRefusedByNameUnlessTheyMayShare) {
  EXPECT_THAT(
      [] {
        choose_gpus({{"a"}, {"GPU-7"}, {"GPU-7"}}, false);
      },
      ThrowsMessage<CommError>(AllOf(HasSubstr("rank 2"), HasSubstr("GPU-7"), HasSubstr("by rank 1"))));
  EXPECT_THAT(
      [] {
        choose_gpus({{"a", "b"}, {"a", "b"}, {"a", "b"}}, false);
      },
      ThrowsMessage<CommError>(HasSubstr("rank 2")));
  EXPECT_THAT(choose_gpus({{"a", "b"}, {"a", "b"}, {"a", "b"}, {"a", "b"}}, true), ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(choose_gpus({{"a"}, {"a"}}, true), ElementsAre(0, 0));
  EXPECT_THAT([] { choose_gpus({{"a"}, {}}, true); }, ThrowsMessage<CommError>(HasSubstr("rank 1: it sees none")));
}

// A machine with the device nodes, and with the driver that its line of /proc tells of, if it is loaded.
class Machine {
 public:
  explicit Machine(const std::vector<std::string>& nodes, const std::string& driver = "") {
    make_directories(root_ / "dev");
    for (const std::string& node : nodes) write_file_atomic(root_ / "dev" / node, "");
    if (driver.empty()) return;
    make_directories(root_ / "proc/driver/nvidia");
    write_file_atomic(root_ / "proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  " + driver +
                                                                "  Tue Jun  6 22:20:39 UTC 2023\nGCC version: 12.2.0\n");
  }
  std::string why(const char* visible = nullptr, long runtime = 13000) const {
    return gpu_out_of_reach(root_.path(), visible, runtime);
  }

 private:
  test::TempDir root_;
};

TEST(GpuOutOfReach, IsNothingWhereThereIsNoneOrItIsHidden) {
  EXPECT_EQ(Machine({}).why(), "");
  EXPECT_EQ(Machine({"null", "nvidiactl", "nvidia-uvm", "nvidia"}).why(), "") << "nodes of the driver, not of a GPU";
  for (const char* hidden : {"", "-1", "NoDevFiles", "none"}) EXPECT_EQ(Machine({"nvidia0"}).why(hidden), "") << hidden;
}

TEST(GpuOutOfReach, TellsOfTheDriver) {
  EXPECT_THAT(
      Machine({"nvidia3", "nvidiactl", "nvidia1"}, "535.54.03").why(),
      AllOf(HasSubstr("(/dev/nvidia1) that CUDA 13.0 cannot use: its driver is 535.54.03, and 580 or newer is needed"),
            HasSubstr("--device cpu")));
  EXPECT_THAT(Machine({"nvidia0"}, "470.223.02").why(nullptr, 12080),
              HasSubstr("CUDA 12.8 cannot use: its driver is 470.223.02, and 525 or"));
  EXPECT_THAT(Machine({"nvidia0"}, "535.54.03").why("7", 12080),
              HasSubstr("new enough; ask nvidia-smi what is wrong, look whether CUDA_VISIBLE_DEVICES=7 names"));
  EXPECT_THAT(Machine({"nvidia0"}).why(), HasSubstr("its driver is not loaded"));
}

}  // namespace
}  // namespace ulmfit::comm
