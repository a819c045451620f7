// The next word of a text, drawn from what a language model expects.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ulmfit::model {

struct SamplingOptions {
  double temperature = 1;  // logits are divided by it; 0: the likeliest word
  std::int64_t top_k = 0;  // among so many of the likeliest words; 0: among all
};

// The number of the logit whose word is drawn: word i with probability proportional to exp(logits[i] / temperature) among
// the allowed ones, or of these the `top_k` likeliest (of equals, the first). `uniform` in [0, 1) decides, by the inverse
// of the distribution over ascending i. `allowed[i]`: word i may be drawn; one of them at least.
std::int64_t sample(std::span<const float> logits, const std::vector<bool>& allowed, const SamplingOptions& options,
                    double uniform);

}  // namespace ulmfit::model
