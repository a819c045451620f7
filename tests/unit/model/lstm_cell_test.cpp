#include "model/lstm_cell.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/random.h"

namespace ulmfit::model {
namespace {

constexpr std::int64_t kRows = 3;
constexpr std::int64_t kWidth = 45;
constexpr std::int64_t kTile = 32;

std::vector<float> draws(std::uint32_t stream, std::int64_t count, double spread) {
  std::vector<float> made;
  for (std::int64_t i = 0; i < count; ++i) {
    const double uniform = random_uniform({5, Purpose::kBench, 0, stream}, static_cast<std::uint64_t>(i));
    made.push_back(static_cast<float>(spread * (2 * uniform - 1)));
  }
  return made;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// Two tiles, the second of 13 units, over everything.
template <class Body>
void for_tiles(const Body& body) {
  for (std::int64_t first = 0; first < kWidth; first += kTile) {
    body(first, LstmTile{kRows, std::min(kTile, kWidth - first), kWidth, kTile});
  }
}

struct Step {
  std::vector<float> products;  // [rows, 4, W]
  std::vector<float> bias = draws(1, 4 * kWidth, 1);
  std::vector<float> c = draws(2, kRows* kWidth, 2);
  std::vector<float> next_c = std::vector<float>(index(kRows * kWidth), 99.0F);
  std::vector<float> h = next_c;
  std::vector<c10::BFloat16> rounded_h = std::vector<c10::BFloat16>(index(kRows * kWidth));
  std::vector<c10::BFloat16> gates = std::vector<c10::BFloat16>(index(kRows * 4 * kWidth));

  explicit Step(double spread, bool keep = true) : products(draws(0, kRows * 4 * kWidth, spread)) {
    for_tiles([&](std::int64_t first, const LstmTile& tile) {
      std::vector<float> part(index(kRows * 4 * kTile));
      for (std::int64_t r = 0; r < kRows * 4; ++r) {
        for (std::int64_t u = 0; u < tile.units; ++u) part[index(r * kTile + u)] = products[index(r * kWidth + first + u)];
      }
      lstm_cell(tile, part.data(), bias.data() + first, c.data() + first, next_c.data() + first, h.data() + first,
                rounded_h.data() + first, keep ? gates.data() + first : nullptr);
    });
  }

  double sum(std::int64_t row, std::int64_t gate, std::int64_t unit) const {
    return static_cast<double>(products[index((row * 4 + gate) * kWidth + unit)]) +
           static_cast<double>(bias[index(gate * kWidth + unit)]);
  }
};

TEST(LstmCell, IsTheDefinition) {
  for (const double spread : {0.01, 3.0, 200.0}) {
    const Step step(spread);
    for (std::int64_t i = 0; i < kRows * kWidth; ++i) {
      const std::int64_t r = i / kWidth, u = i % kWidth;
      const double gates[4] = {sigmoid(step.sum(r, 0, u)), sigmoid(step.sum(r, 1, u)), std::tanh(step.sum(r, 2, u)),
                               sigmoid(step.sum(r, 3, u))};
      const double next = gates[1] * static_cast<double>(step.c[index(i)]) + gates[0] * gates[2];
      const double h = gates[3] * std::tanh(next);
      EXPECT_NEAR(step.next_c[index(i)], next, 1e-6);
      EXPECT_NEAR(step.h[index(i)], h, 1e-6);
      EXPECT_EQ(step.rounded_h[index(i)], c10::BFloat16(step.h[index(i)]));
      for (std::int64_t g = 0; g < 4; ++g) {
        const double kept = static_cast<double>(static_cast<float>(step.gates[index((r * 4 + g) * kWidth + u)]));
        EXPECT_NEAR(kept, gates[g], std::fabs(gates[g]) / 256 + 1e-6);
      }
    }
  }
}

TEST(LstmCell, WithoutGatesToKeepIsTheSame) {
  const Step kept(3);
  const Step lost(3, /*keep=*/false);
  EXPECT_EQ(kept.h, lost.h);
  EXPECT_EQ(kept.next_c, lost.next_c);
}

TEST(LstmCell, NotANumberReachesTheState) {
  Step step(1);
  step.bias[2 * kWidth] = std::nanf("");
  std::vector<float> products(index(kRows * 4 * kTile));
  lstm_cell({kRows, 1, kWidth, kTile}, products.data(), step.bias.data(), step.c.data(), step.next_c.data(), step.h.data(),
            step.rounded_h.data(), nullptr);
  EXPECT_TRUE(std::isnan(step.h[0]));
  EXPECT_TRUE(std::isnan(static_cast<float>(step.rounded_h[0])));
}

// The chain rule in double, from the gates as they were kept.
TEST(LstmCell, BackwardIsTheDerivative) {
  const Step step(3);
  const std::vector<float> above = draws(3, kRows * kWidth, 1), recurrent = draws(4, kRows * kWidth, 1);
  for (const bool last : {false, true}) {
    std::vector<float> dc = draws(5, kRows * kWidth, 1);
    const std::vector<float> dc_before = dc;
    std::vector<c10::BFloat16> found(index(kRows * 4 * kWidth));
    for_tiles([&](std::int64_t first, const LstmTile& tile) {
      std::vector<float> part(index(kRows * kTile));
      for (std::int64_t r = 0; r < kRows; ++r) {
        for (std::int64_t u = 0; u < tile.units; ++u) part[index(r * kTile + u)] = recurrent[index(r * kWidth + first + u)];
      }
      lstm_cell_backward(tile, last ? nullptr : part.data(), above.data() + first, step.gates.data() + first,
                         step.c.data() + first, step.next_c.data() + first, dc.data() + first, found.data() + first);
    });
    for (std::int64_t i = 0; i < kRows * kWidth; ++i) {
      const std::int64_t r = i / kWidth, u = i % kWidth;
      double gate[4];
      for (std::int64_t g = 0; g < 4; ++g) {
        gate[g] = static_cast<double>(static_cast<float>(step.gates[index((r * 4 + g) * kWidth + u)]));
      }
      const auto [in, forget, cell, out] = gate;
      const double t = std::tanh(static_cast<double>(step.next_c[index(i)]));
      const double dh = static_cast<double>(above[index(i)]) + (last ? 0.0 : static_cast<double>(recurrent[index(i)]));
      const double d = static_cast<double>(dc_before[index(i)]) + dh * out * (1 - t * t);
      const double expected[4] = {d * cell * in * (1 - in),
                                  d * static_cast<double>(step.c[index(i)]) * forget * (1 - forget),
                                  d * in * (1 - cell * cell), dh * t * out * (1 - out)};
      for (std::int64_t g = 0; g < 4; ++g) {
        const double value = static_cast<double>(static_cast<float>(found[index((r * 4 + g) * kWidth + u)]));
        EXPECT_NEAR(value, expected[g], std::fabs(expected[g]) / 256 + 1e-6) << "gate " << g << ", unit " << u;
      }
      EXPECT_NEAR(dc[index(i)], d * forget, 1e-6);
    }
  }
}

}  // namespace
}  // namespace ulmfit::model
