#include "tests/model/tiny_model.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "base/check.h"
#include "ops/cpu/cpu_ops.h"

namespace fastchat::model {
namespace {

using ops::TensorView;

constexpr std::int64_t kNumBlocks = 64;
constexpr std::size_t kMaxIntegers = 4096;

// Appends arrays to one staging vector; offsets are kept 64-byte aligned.
class IntegerStaging {
 public:
  std::size_t add(const std::vector<std::int32_t>& values) {
    const std::size_t offset = integers_.size();
    integers_.insert(integers_.end(), values.begin(), values.end());
    integers_.resize((integers_.size() + 15) / 16 * 16);
    return offset * sizeof(std::int32_t);
  }
  const std::vector<std::int32_t>& values() const { return integers_; }

 private:
  std::vector<std::int32_t> integers_;
};

}  // namespace

std::vector<parallel::StagePlacement> split_layers(std::int64_t num_layers, int num_stages) {
  std::vector<parallel::StagePlacement> out;
  const auto layers = static_cast<int>(num_layers);
  for (int i = 0; i < num_stages; ++i) {
    const int first = layers * i / num_stages;
    out.push_back({.devices = {0},
                   .first_layer = first,
                   .num_layers = layers * (i + 1) / num_stages - first,
                   .has_embedding = i == 0,
                   .has_head = i + 1 == num_stages});
  }
  return out;
}

TinyModel::TinyModel(const ModelConfig& config, const TinyModelOptions& options)
    : config_(config),
      options_(options),
      platform_(device::create_cpu_platform({.isa = options.isa})),
      device_(platform_->open(0)),
      ops_(options.reference_ops ? ops::create_reference_ops(*device_) : ops::create_ops(*device_)),
      stream_(device_->create_stream()),
      placements_(split_layers(config.num_layers, options.num_stages)) {
  const std::unique_ptr<WeightSource> dummy = dummy_weights(options.dtype);
  for (const parallel::StagePlacement& placement : placements_) {
    stages_.push_back(
        std::make_unique<DecoderStage>(config,
                                       placement,
                                       options.dtype,
                                       options.limits,
                                       options.max_model_len,
                                       *ops_,
                                       *stream_,
                                       options.weights != nullptr ? *options.weights : *dummy,
                                       options.progress));
    std::vector<ops::KvLayer>& layers = kv_.emplace_back();
    for (int i = 0; i < placement.num_layers; ++i) {
      const ops::KvSpec spec = stages_.back()->kv_spec(i);
      const std::uint64_t size_bytes =
          static_cast<std::uint64_t>(kNumBlocks) * ops::kv_block_bytes(ops_->traits(), spec);
      device::Buffer& buffer = kv_buffers_.emplace_back(device_->allocate(size_bytes, "kv cache"));
      stream_->fill(buffer.data(), 0xff, size_bytes);  // NaN: what was not written must not be read
      layers.push_back({.data = buffer.data(), .num_blocks = kNumBlocks, .spec = spec});
    }
  }
  integers_ = device_->allocate(kMaxIntegers * sizeof(std::int32_t), "step input");
  hidden_ = device_->allocate(
      static_cast<std::size_t>(options.limits.max_num_tokens * config.hidden_size) * sizeof(float),
      "hand-over");
  stream_->synchronize();
  free_blocks_.resize(kNumBlocks);
  std::iota(free_blocks_.begin(), free_blocks_.end(), 0);
  std::shuffle(free_blocks_.begin(), free_blocks_.end(), std::mt19937(20240607));  // fixed seed
}

TinyModel::~TinyModel() { stream_->synchronize(); }

std::vector<float> TinyModel::step(const std::vector<Chunk>& chunks) {
  const std::int64_t block_size = ops_->traits().kv_block_size;
  std::vector<std::int32_t> tokens, positions, slots, query_starts{0}, context_lens, rows;
  std::int64_t max_query_len = 0;
  std::size_t max_blocks = 0;
  for (const Chunk& chunk : chunks) {
    Sequence& sequence = sequences_[chunk.sequence];
    for (const std::int32_t row : chunk.logits_of)
      rows.push_back(static_cast<std::int32_t>(tokens.size()) + row);
    for (const std::int32_t token : chunk.tokens) {
      const std::int64_t position = sequence.num_tokens++;
      if (position % block_size == 0) {
        sequence.blocks.push_back(free_blocks_.at(free_blocks_.size() - 1));
        free_blocks_.pop_back();
      }
      tokens.push_back(token);
      positions.push_back(static_cast<std::int32_t>(position));
      slots.push_back(
          static_cast<std::int32_t>(sequence.blocks.back() * block_size + position % block_size));
    }
    query_starts.push_back(static_cast<std::int32_t>(tokens.size()));
    context_lens.push_back(static_cast<std::int32_t>(sequence.num_tokens));
    max_query_len = std::max(max_query_len, static_cast<std::int64_t>(chunk.tokens.size()));
    max_blocks = std::max(max_blocks, sequence.blocks.size());
  }
  std::vector<std::int32_t> block_table;
  for (const Chunk& chunk : chunks) {
    std::vector<std::int32_t> blocks = sequences_[chunk.sequence].blocks;
    blocks.resize(max_blocks, -1);
    block_table.insert(block_table.end(), blocks.begin(), blocks.end());
  }

  IntegerStaging staging;
  const auto num_tokens = static_cast<std::int64_t>(tokens.size());
  const auto num_seqs = static_cast<std::int64_t>(chunks.size());
  const std::size_t tokens_at = staging.add(tokens);
  const std::size_t positions_at = staging.add(positions);
  const std::size_t slots_at = staging.add(slots);
  const std::size_t starts_at = staging.add(query_starts);
  const std::size_t lens_at = staging.add(context_lens);
  const std::size_t table_at = staging.add(block_table);
  const std::size_t rows_at = staging.add(rows);
  check(staging.values().size() <= kMaxIntegers, "a step too large for this test");
  stream_->copy_from_host(
      integers_.data(), staging.values().data(), staging.values().size() * sizeof(std::int32_t));
  const auto view = [&](std::initializer_list<std::int64_t> shape, std::size_t offset) {
    return integers_.view(device::DType::i32, shape, offset);
  };

  StageInput input;
  input.num_tokens = num_tokens;
  input.token_ids = view({num_tokens}, tokens_at);
  input.positions = view({num_tokens}, positions_at);
  input.slots = view({num_tokens}, slots_at);
  input.attention = {
      .query_starts = view({num_seqs + 1}, starts_at),
      .context_lens = view({num_seqs}, lens_at),
      .block_table = view({num_seqs, static_cast<std::int64_t>(max_blocks)}, table_at),
      .num_seqs = num_seqs,
      .max_query_len = max_query_len,
      .max_context_len = *std::max_element(context_lens.begin(), context_lens.end())};
  input.num_logits = static_cast<std::int64_t>(rows.size());
  input.logits_rows = view({input.num_logits}, rows_at);

  StageOutput output;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    input.kv = kv_[i];
    if (i > 0) {
      input.hidden = hidden_.view(device::DType::f32, {num_tokens, config_.hidden_size});
      if (input.hidden.data() != output.hidden.data())
        stream_->copy(input.hidden.data(), output.hidden.data(), input.hidden.size_bytes());
    }
    output = stages_[i]->forward(*stream_, input);
  }
  std::vector<float> logits(rows.size() * static_cast<std::size_t>(config_.vocab_size));
  if (!logits.empty())
    stream_->copy_to_host(logits.data(), output.logits.data(), logits.size() * sizeof(float));
  stream_->synchronize();
  return logits;
}

std::vector<std::int32_t> TinyModel::greedy(int sequence,
                                            const std::vector<std::int32_t>& prompt,
                                            std::size_t count) {
  std::vector<std::int32_t> out;
  std::vector<std::int32_t> next = prompt;
  while (out.size() < count) {
    const std::vector<float> logits =
        step({{.sequence = sequence,
               .tokens = next,
               .logits_of = {static_cast<std::int32_t>(next.size()) - 1}}});
    out.push_back(
        static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    next = {out.back()};
  }
  return out;
}

}  // namespace fastchat::model
