#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

// The folder of real text that ULMFIT_TEST_DATA names; skips the test when it is not set.
#define ULMFIT_REAL_DATA(variable)                                                                      \
  const char* const variable##_setting = std::getenv("ULMFIT_TEST_DATA");                               \
  if (variable##_setting == nullptr) GTEST_SKIP() << "ULMFIT_TEST_DATA does not name a folder of text"; \
  const std::filesystem::path variable(variable##_setting)
