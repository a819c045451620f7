// Numbers as people read them: on screen and in the report.
#pragma once

#include <cstdint>
#include <string>

namespace ulmfit::reports {

std::string grouped(std::int64_t value);                         // 1234567 -> "1,234,567"
std::string fixed(double value, int decimals);                   // 0.5, 2 -> "0.50"
std::string significant(double value, int digits);               // 4.5123, 4 -> "4.512"; exponents only beyond 1e-4 and 1e7
std::string figure(double value);                                // 100 -> "100", 4.51234 -> "4.512"
std::string percent(double share, int decimals = 1);             // 0.0213 -> "2.1%"
std::string per_second(double rate, const std::string& things);  // 6540.2, "tokens" -> "6,540 tokens/s"
std::string duration(double seconds);                            // "45s", "12m", "1h 05m", "2d 03h"

// All of them write "nan", "inf" or "-inf" for a value that is not finite.

}  // namespace ulmfit::reports
