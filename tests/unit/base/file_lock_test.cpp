#include "base/file_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/machine.h"
#include "tests/support/temp_dir.h"

namespace ulmfit {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(FolderLock, SecondHolderIsRefusedByName) {
  test::TempDir dir;
  FolderLock first(dir.path());
  try {
    FolderLock second(dir.path());
    FAIL();
  } catch (const CheckpointError& e) {
    EXPECT_THAT(e.what(), HasSubstr("another run holds it (host "));
  }
}

TEST(FolderLock, IsFreeAfterTheHolderIsGone) {
  test::TempDir dir;
  { FolderLock first(dir.path()); }
  EXPECT_NO_THROW(FolderLock(dir.path()));
}

// As on a file system without locks: calls `body` on a thread on which flock fails.
void without_flock(const std::function<void()>& body) {
  bool denied = false;
  std::exception_ptr thrown;
  std::thread([&] {
    sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_flock, 0, 1),
                            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const sock_fprog program{.len = 4, .filter = filter};
    denied = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
    try {
      if (denied) body();
    } catch (...) {
      thrown = std::current_exception();
    }
  }).join();
  ASSERT_TRUE(denied) << "this kernel does not let a test deny flock";
  if (thrown) std::rethrow_exception(thrown);
}

TEST(FolderLock, WithoutFlockALiveProcessOfThisMachineIsRefused) {
  test::TempDir dir;
  const std::string me = str("host ", host_name(), ", process ", ::getpid());
  without_flock([&] {
    {
      const FolderLock first(dir.path());
      EXPECT_EQ(FolderLock::holder(dir.path()), me);
      EXPECT_THAT([&] { FolderLock(dir.path()); },
                  ThrowsMessage<CheckpointError>(HasSubstr(str("another run holds it (", me, ")"))));
    }
    EXPECT_EQ(FolderLock::holder(dir.path()), std::nullopt);
    EXPECT_NO_THROW(FolderLock(dir.path()));
  });
}

TEST(FolderLock, WithoutFlockWhatADeadProcessOrAnotherMachineLeftKeepsNobodyOut) {
  test::TempDir dir;
  // This process lives, but started at another time: the id was another process's.
  for (const std::string& left :
       {str("host ", host_name(), ", process ", ::getpid(), "\n1\n"), str("host another-", host_name(), ", process 1\n1\n"),
        std::string("host"), std::string()}) {
    write_file_atomic(dir / ".lock", left);
    without_flock([&] {
      EXPECT_EQ(FolderLock::holder(dir.path()), std::nullopt);
      EXPECT_NO_THROW(FolderLock(dir.path()));
    });
  }
}

}  // namespace
}  // namespace ulmfit
