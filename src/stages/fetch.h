// Published models: downloaded, checked, imported.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "config/option_set.h"
#include "stages/fastai_bridge.h"
#include "text/text_pipeline.h"

namespace ulmfit::stages {

struct FetchOptions {
  std::string address;  // http(s); an archive that holds one *.pth and one *.pkl of fastai
  std::string sha256;   // of the archive; empty: not known
  std::string archive;  // that file, if it is here already
  std::string license;
  std::string note;
  std::string output;
  bool backward = false;
  bool foreign_tokens = false;
  void declare(config::OptionSet& set);
};

// Downloads with the program curl (into OUTPUT.download.partial), checks the sum, takes weights and vocabulary out of the
// archive, and imports them (import_fastai), with address, sum and license in the lineage. Whole or not at all; nothing is
// downloaded where OUTPUT holds that model already. Throws ConfigError; DataError without network, for a file that is not
// there or broken on the way, or has another sum; what import_fastai throws.
nlohmann::json fetch_model(const FetchOptions& options, const text::TextPipeline& pipeline, const config::OptionSet& set);

}  // namespace ulmfit::stages
