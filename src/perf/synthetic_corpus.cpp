#include "perf/synthetic_corpus.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "data/shard_writer.h"

namespace ulmfit::perf {

SyntheticCorpus::SyntheticCorpus(std::int64_t vocabulary, std::int64_t documents, std::int64_t length, std::int64_t labels,
                                 std::uint64_t seed) {
  data::ShardHeader header;
  header.vocabulary_size = vocabulary;
  header.vocabulary_fingerprint = "bench";
  header.text_fingerprint = "bench";
  header.labelled = labels > 0;
  data::ShardWriter writer(folder_.path(), "train", header);
  const double log_vocabulary = std::log(static_cast<double>(vocabulary));
  std::vector<std::int32_t> tokens;
  for (std::int64_t d = 0; d < documents; ++d) {
    const RandomKey key{seed, Purpose::kBench, static_cast<std::uint64_t>(d), 0};
    std::int64_t count = length;
    if (labels > 0)
      count = std::max<std::int64_t>(1, std::llround((0.25 + 1.5 * random_uniform(key, 0)) * static_cast<double>(length)));
    tokens.resize(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto id = static_cast<std::int64_t>(std::exp(random_uniform(key, i + 1) * log_vocabulary)) - 1;
      tokens[i] = static_cast<std::int32_t>(std::clamp<std::int64_t>(id, 0, vocabulary - 1));
    }
    writer.add(tokens, labels > 0 ? static_cast<std::int32_t>(d % labels) : -1);
  }
  writer.finish();
}

}  // namespace ulmfit::perf
