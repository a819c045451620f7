#include "reports/number_format.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ulmfit::reports {
namespace {

TEST(NumberFormat, GroupsThousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(-123456), "-123,456");
}

TEST(NumberFormat, KeepsSignificantDigits) {
  EXPECT_EQ(significant(4.5123, 4), "4.512");
  EXPECT_EQ(significant(91.123, 3), "91.1");
  EXPECT_EQ(significant(0.0123, 2), "0.012");
  EXPECT_EQ(significant(12345, 3), "12345");
  EXPECT_EQ(significant(0, 3), "0");
  EXPECT_EQ(significant(-2.5, 2), "-2.5");
  EXPECT_EQ(significant(2.345e-5, 2), "2.3e-05");
  EXPECT_EQ(significant(1e300, 2), "1.0e+300");
}

TEST(NumberFormat, WritesCountsWhole) {
  EXPECT_EQ(figure(100), "100");
  EXPECT_EQ(figure(5589), "5589");
  EXPECT_EQ(figure(98.45123), "98.45");
  EXPECT_EQ(figure(0), "0");
  EXPECT_EQ(figure(1e300), "1.000e+300");
  EXPECT_EQ(figure(std::nan("")), "nan");
}

TEST(NumberFormat, SaysWhatIsNotFinite) {
  EXPECT_EQ(significant(-std::nan(""), 3), "nan");
  EXPECT_EQ(significant(INFINITY, 3), "inf");
  EXPECT_EQ(percent(std::nan("")), "nan");
  EXPECT_EQ(duration(INFINITY), "inf");
  EXPECT_EQ(per_second(std::nan(""), "tokens"), "nan tokens/s");
}

TEST(NumberFormat, PercentAndRate) {
  EXPECT_EQ(percent(0.0213), "2.1%");
  EXPECT_EQ(percent(0.104, 2), "10.40%");
  EXPECT_EQ(per_second(6540.2, "tokens"), "6,540 tokens/s");
  EXPECT_EQ(per_second(3.14159, "texts"), "3.14 texts/s");
}

TEST(NumberFormat, DurationsRoundToTheUnitShown) {
  EXPECT_EQ(duration(0), "0s");
  EXPECT_EQ(duration(59.4), "59s");
  EXPECT_EQ(duration(59.6), "1m");
  EXPECT_EQ(duration(725), "12m");
  EXPECT_EQ(duration(3599), "1h 00m");
  EXPECT_EQ(duration(3900), "1h 05m");
  EXPECT_EQ(duration(51 * 3600), "2d 03h");
  EXPECT_EQ(duration(-5), "0s");
}

}  // namespace
}  // namespace ulmfit::reports
