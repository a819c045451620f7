#include "kernels/compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>

#include "tests/support/temp_dir.h"

namespace ulmfit::kernels {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

TEST(Nvrtc, CompilesTheKernels) {
  std::string why;
  const auto nvrtc = load_nvrtc(why);
  if (nvrtc == nullptr) GTEST_SKIP() << "no NVRTC here: " << why;
  for (const char* architecture : {"sm_80", "sm_90", "sm_100"}) {
    const std::string code = nvrtc->compile(architecture);
    EXPECT_THAT(code, StartsWith("\x7F"
                                 "ELF"))
        << architecture;
    for (const char* kernel :
         {"masked_copy_float_float", "masked_copy_float_bfloat16", "masked_copy_bfloat16_float", "locked_masks", "mask_at",
          "row_losses_float", "row_losses_bfloat16", "row_gradients_float", "row_gradients_bfloat16"}) {
      EXPECT_NE(code.find(std::string(".text.") + kernel), std::string::npos) << architecture << " " << kernel;
    }
  }
  EXPECT_THAT([&] { static_cast<void>(nvrtc->compile("sm_1")); }, ThrowsMessage<std::runtime_error>(HasSubstr("for sm_1")));
}

struct PlayedNvrtc : Nvrtc {
  std::string version() const override { return "13.0"; }
  std::string compile(const std::string& architecture) const override {
    ++compiled;
    return "code for " + architecture;
  }
  mutable int compiled = 0;
};

class Cache : public ::testing::Test {
 protected:
  std::string loaded() {
    std::string got;
    load_code(nvrtc_, "sm_90", dir_.path() / "a/b", [&](const std::string& code) {
      got = code;
      return code == "code for sm_90";
    });
    return got;
  }

  const test::TempDir dir_;
  const PlayedNvrtc nvrtc_;
};

TEST_F(Cache, CompilesOnce) {
  EXPECT_EQ(loaded(), "code for sm_90");
  EXPECT_EQ(loaded(), "code for sm_90");
  EXPECT_EQ(nvrtc_.compiled, 1);
}

TEST_F(Cache, BadCodeIsCompiledAnew) {
  loaded();
  for (const auto& entry : fs::directory_iterator(dir_.path() / "a/b")) {
    const std::string whole = read_file(entry.path());
    std::ofstream(entry.path()) << whole.substr(0, whole.size() - 1);  // a driver would read beyond its end
  }
  EXPECT_EQ(loaded(), "code for sm_90");
  EXPECT_EQ(nvrtc_.compiled, 2);
  loaded();
  EXPECT_EQ(nvrtc_.compiled, 2);
}

TEST_F(Cache, WhatCannotBeReadIsCompiledAnew) {
  loaded();
  for (const auto& entry : fs::directory_iterator(dir_.path() / "a/b")) {
    const fs::path file = entry.path();
    fs::remove(file);
    fs::create_directory(file);
  }
  EXPECT_EQ(loaded(), "code for sm_90");
  EXPECT_EQ(nvrtc_.compiled, 2);
}

TEST_F(Cache, AFolderThatCannotBeWrittenIsNoError) {
  std::ofstream(dir_.path() / "a") << "a file";
  EXPECT_EQ(loaded(), "code for sm_90");
  EXPECT_NO_THROW(load_code(nvrtc_, "sm_90", "", [](const std::string&) { return true; }));
}

TEST_F(Cache, CodeThatCannotBeLoadedIsAnError) {
  EXPECT_THAT([&] { load_code(nvrtc_, "sm_90", dir_.path(), [](const std::string&) { return false; }); },
              ThrowsMessage<std::runtime_error>(HasSubstr("for sm_90 cannot be loaded")));
}

}  // namespace
}  // namespace ulmfit::kernels
