// Precompiled for every test that uses tensors: with it they compile in half the time. Nothing of ours in here.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
