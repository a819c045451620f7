#include "data_prep/overlap.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/hash.h"
#include "text/rules.h"
#include "text/vocabulary.h"

namespace ulmfit::data_prep {
namespace {

constexpr std::int64_t kRunsAPass = 1 << 24;

struct Entry {
  std::uint64_t hash;
  std::uint32_t document;
};

bool is_word(std::string_view token) {
  if (std::find(std::begin(text::kSpecialTokens), std::end(text::kSpecialTokens), token) !=
      std::end(text::kSpecialTokens)) {
    return false;
  }
  return std::any_of(token.begin(), token.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           static_cast<unsigned char>(c) >= 0x80;
  });
}

// A hash of each word in lower case; 0 for what is no word.
std::vector<std::uint64_t> word_hashes(const std::vector<std::string>& words) {
  constexpr std::string_view kMark = "xxbos ";  // text::lowercase puts it in front
  std::vector<std::uint64_t> hashes;
  hashes.reserve(words.size());
  for (const std::string& word : words) {
    if (!is_word(word)) {
      hashes.push_back(0);
      continue;
    }
    const std::string lower = text::lowercase(word).substr(kMark.size());
    hashes.push_back(std::max<std::uint64_t>(1, hash64(lower.data(), lower.size())));
  }
  return hashes;
}

// Calls use(hash) for each run of kRunWords words of a document.
template <class Use>
void each_run(std::span<const std::uint32_t> ids, const std::vector<std::uint64_t>& hashes,
              std::vector<std::uint64_t>& words, const Use& use) {
  words.clear();
  for (const std::uint32_t id : ids) {
    if (hashes[id] != 0) words.push_back(hashes[id]);
  }
  for (std::size_t i = 0; i + kRunWords <= words.size(); ++i) use(hash64(&words[i], kRunWords * sizeof(words[i])));
}

// Sets the bits of all documents that share a hash. Entries are sorted by hash and document.
void mark(const std::vector<Entry>& entries, const std::vector<std::uint8_t>& split, std::vector<std::uint8_t>& bits) {
  for (std::size_t begin = 0; begin < entries.size();) {
    std::size_t end = begin + 1;
    while (end < entries.size() && entries[end].hash == entries[begin].hash) ++end;
    std::array<std::int64_t, 8> first;  // document of each split that has the run
    first.fill(-1);
    for (std::size_t i = begin; i < end; ++i) {
      std::int64_t& document = first[split[entries[i].document]];
      if (document < 0) document = entries[i].document;
    }
    for (std::size_t i = begin; i < end; ++i) {
      const std::uint32_t document = entries[i].document;
      for (std::size_t s = 0; s < first.size(); ++s) {
        if (first[s] >= 0 && first[s] != document) bits[document] = static_cast<std::uint8_t>(bits[document] | (1U << s));
      }
    }
    begin = end;
  }
}

void mark_sorted(std::vector<Entry>& entries, const std::vector<std::uint8_t>& split, std::vector<std::uint8_t>& bits) {
  const auto less = [](const Entry& a, const Entry& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.document < b.document;
  };
  std::sort(entries.begin(), entries.end(), less);
  mark(entries, split, bits);
}

void mark_exact(const std::vector<std::uint8_t>& split, Overlaps& overlaps) {
  std::vector<Entry> entries;
  for (std::size_t d = 0; d < overlaps.first.size(); ++d) {
    entries.push_back({static_cast<std::uint64_t>(overlaps.first[d]), static_cast<std::uint32_t>(d)});
  }
  mark_sorted(entries, split, overlaps.exact);
}

// The runs of some documents, looked up by those of others.
class Runs {
 public:
  // `entries`: sorted by hash; of each one entry is kept. So a run that thousands of documents have costs no more than
  // another.
  Runs(std::vector<Entry>& entries, const std::vector<std::uint8_t>& split) : runs_(entries) {
    std::size_t kept = 0;
    for (std::size_t begin = 0, end = 0; begin < runs_.size(); begin = end) {
      unsigned splits = 0;
      for (; end < runs_.size() && runs_[end].hash == runs_[begin].hash; ++end) splits |= 1U << split[runs_[end].document];
      runs_[kept++] = {runs_[begin].hash, splits};
    }
    runs_.resize(kept);
    may_have_.resize(kBitsARun * kept + 1);
    for (const Entry& run : runs_) may_have_[run.hash % may_have_.size()] = true;
  }

  // The bits of all splits whose documents have the run.
  unsigned splits_with(std::uint64_t hash) const {
    if (!may_have_[hash % may_have_.size()]) return 0;  // as nearly all are: spares the search
    const auto less = [](const Entry& run, std::uint64_t sought) { return run.hash < sought; };
    const auto found = std::lower_bound(runs_.begin(), runs_.end(), hash, less);
    return found != runs_.end() && found->hash == hash ? found->document : 0;
  }

 private:
  static constexpr std::size_t kBitsARun = 16;
  std::vector<Entry>& runs_;  // in place of a document the bits of the splits
  std::vector<bool> may_have_;
};

void find_near(const TokenSpool& spool, const std::vector<std::uint8_t>& split, std::uint8_t apart,
               const std::vector<std::uint64_t>& hashes, Overlaps& overlaps) {
  std::int64_t tokens = 0;
  bool any_apart = false;
  spool.visit([&](std::int64_t document, std::span<const std::uint32_t> ids) {
    const bool is_apart = split[static_cast<std::size_t>(document)] == apart;
    any_apart = any_apart || is_apart;
    if (!is_apart) tokens += static_cast<std::int64_t>(ids.size());
  });
  const auto passes = static_cast<std::uint64_t>(tokens / kRunsAPass + 1);
  std::vector<Entry> entries;
  std::vector<std::uint64_t> words;
  // use(document, hash) for each run of this pass in documents that are apart, or of the others.
  const auto each = [&](std::uint64_t pass, bool of_apart, const auto& use) {
    spool.visit([&](std::int64_t document, std::span<const std::uint32_t> ids) {
      if ((split[static_cast<std::size_t>(document)] == apart) != of_apart) return;
      each_run(ids, hashes, words, [&](std::uint64_t hash) {
        if (hash % passes == pass) use(static_cast<std::uint32_t>(document), hash);
      });
    });
  };
  for (std::uint64_t pass = 0; pass < passes; ++pass) {
    entries.clear();
    each(pass, false, [&](std::uint32_t document, std::uint64_t hash) { entries.push_back({hash, document}); });
    mark_sorted(entries, split, overlaps.near);
    if (!any_apart) continue;
    const Runs runs(entries, split);
    each(pass, true, [&](std::uint32_t document, std::uint64_t hash) {
      const unsigned bits = overlaps.near[document] | runs.splits_with(hash);
      overlaps.near[document] = static_cast<std::uint8_t>(bits);
    });
  }
}

}  // namespace

std::vector<std::int64_t> first_copies(const TokenSpool& spool) {
  std::vector<bool> words;
  for (const std::string& word : spool.words()) words.push_back(is_word(word));
  std::vector<std::int64_t> first;
  std::unordered_map<std::uint64_t, std::int64_t> first_of;
  spool.visit([&](std::int64_t document, std::span<const std::uint32_t> ids) {
    first.push_back(document);
    if (std::none_of(ids.begin(), ids.end(), [&](std::uint32_t id) { return words[id]; })) return;
    first.back() = first_of.try_emplace(hash64(ids.data(), ids.size_bytes()), document).first->second;
  });
  return first;
}

Overlaps find_overlaps(const TokenSpool& spool, const std::vector<std::uint8_t>& split, std::uint8_t apart,
                       std::vector<std::int64_t> first) {
  Overlaps overlaps;
  overlaps.exact.resize(split.size(), 0);
  overlaps.near.resize(split.size(), 0);
  overlaps.first = std::move(first);
  mark_exact(split, overlaps);
  find_near(spool, split, apart, word_hashes(spool.words()), overlaps);
  return overlaps;
}

}  // namespace ulmfit::data_prep
