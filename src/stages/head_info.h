// What a stage tells of its head, without weights, and the kinds of heads that there are. To add one: a model::Head, a
// HeadInfo, what evaluate does with it, and a row of head_kinds().
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "comm/communicator.h"
#include "data/corpus_folder.h"
#include "data/shard_reader.h"
#include "model/head.h"
#include "model/shape.h"
#include "reports/stage_card.h"
#include "stages/stage_fields.h"

namespace ulmfit::stages {

struct Evaluated;
struct EvaluateOptions;
struct HeadKind;
struct TrainedModel;

class HeadInfo {
 public:
  virtual ~HeadInfo() = default;
  virtual const HeadKind& kind() const = 0;
  // Its fields of stage.json.
  virtual void write(nlohmann::json& stage) const = 0;
  // Weights that such a head has at least, known before memory is taken for them.
  virtual std::int64_t weights() const = 0;
  // A head to be filled with weights.
  virtual std::unique_ptr<model::Head> make(const model::AwdLstm& encoder) const = 0;
  // What the card tells of this kind of model.
  virtual void complete(reports::CardInfo& card) const = 0;

 protected:
  HeadInfo() = default;
  HeadInfo(const HeadInfo&) = default;
  HeadInfo& operator=(const HeadInfo&) = default;
};

struct HeadKind {
  std::string_view name;  // in stage.json
  std::string_view what;  // "language model", in messages

  // What write() gave, or an older program; errors as those of stage_info().
  std::shared_ptr<const HeadInfo> (*read)(const StageFields& fields, const model::Shape& shape);

  // Models of this kind on a split, see stages/evaluate.h. Collective.
  Evaluated (*evaluate)(const std::vector<TrainedModel>& models, const data::ShardSet& shards,
                        const EvaluateOptions& options, const data::CorpusInfo& corpus, comm::Communicator& comm);
};

std::span<const HeadKind> head_kinds();
const HeadKind& head_kind(std::string_view name);  // std::out_of_range, if there is none

}  // namespace ulmfit::stages
