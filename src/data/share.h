// Work in numbered pieces that is dealt out in turn: of N workers, worker i has the pieces i, i + N, i + 2 N ...
#pragma once

#include <cstdint>

namespace ulmfit::data {

struct Share {
  int index = 0;
  int count = 1;
  bool has(std::int64_t piece) const { return piece % count == index; }
};

}  // namespace ulmfit::data
