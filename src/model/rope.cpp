#include "model/rope.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"

namespace fastchat::model {
namespace {

constexpr std::int64_t kMaxPositions = std::int64_t{1} << 31;
constexpr double kMaxFactor =
    65536.0;  // largest published: 128 (DeepSeek-like yarn stays below it)

constexpr std::array<std::pair<std::string_view, RopeKind>, 7> kKinds{{
    {"default", RopeKind::plain},
    {"linear", RopeKind::linear},
    {"dynamic", RopeKind::dynamic},
    {"yarn", RopeKind::yarn},
    {"longrope", RopeKind::longrope},
    {"su", RopeKind::longrope},  // its name in the first Phi-3 files
    {"llama3", RopeKind::llama3},
}};

RopeKind parse_kind(const ConfigReader& scaling) {
  const std::string_view key = scaling.has("rope_type") ? "rope_type" : "type";
  const std::string name = scaling.text(key).value_or("default");
  for (const auto& [known, kind] : kKinds)
    if (known == name) return kind;
  std::string expected = "one of";
  for (const auto& [known, kind] : kKinds) expected.append(" ").append(known);
  scaling.reject(key, expected);
}

double parse_factor(const ConfigReader& scaling) {
  const double factor = scaling.positive("factor");
  if (factor < 1.0 || factor > kMaxFactor) scaling.reject("factor", "a number from 1 to 65536");
  return factor;
}

void parse_scaling(const ConfigReader& reader,
                   const ConfigReader& scaling,
                   std::int64_t max_position_embeddings,
                   RopeConfig& rope) {
  rope.kind = parse_kind(scaling);
  if (rope.kind == RopeKind::plain) return;

  // Phi-3's files have the length of pretraining beside the scaling; as in transformers, that one
  // counts first.
  constexpr std::string_view kOriginal = "original_max_position_embeddings";
  const bool scales_pretraining = rope.kind == RopeKind::yarn || rope.kind == RopeKind::longrope ||
                                  rope.kind == RopeKind::llama3;
  rope.original_max_position_embeddings = max_position_embeddings;
  if (scales_pretraining) {
    const ConfigReader& holder = reader.has(kOriginal) ? reader : scaling;
    rope.original_max_position_embeddings =
        holder.size(kOriginal, kMaxPositions, max_position_embeddings);
  }

  if (rope.kind == RopeKind::longrope && !scaling.has("factor")) {
    rope.factor = static_cast<double>(max_position_embeddings) /
                  static_cast<double>(rope.original_max_position_embeddings);
  } else {
    rope.factor = parse_factor(scaling);
  }

  switch (rope.kind) {
    case RopeKind::yarn:
      rope.attention_factor = scaling.optional_positive("attention_factor");
      rope.beta_fast = scaling.positive("beta_fast", rope.beta_fast);
      rope.beta_slow = scaling.positive("beta_slow", rope.beta_slow);
      rope.mscale = scaling.positive("mscale", rope.mscale);
      rope.mscale_all_dim = scaling.positive("mscale_all_dim", rope.mscale_all_dim);
      rope.truncate = scaling.flag("truncate", rope.truncate);
      break;
    case RopeKind::longrope:
      rope.attention_factor = scaling.optional_positive("attention_factor");
      rope.short_factor =
          scaling.positives("short_factor", static_cast<std::size_t>(rope.rotary_dim / 2));
      rope.long_factor =
          scaling.positives("long_factor", static_cast<std::size_t>(rope.rotary_dim / 2));
      break;
    case RopeKind::llama3:
      rope.low_freq_factor = scaling.positive("low_freq_factor");
      rope.high_freq_factor = scaling.positive("high_freq_factor");
      if (rope.high_freq_factor <= rope.low_freq_factor)
        scaling.reject("high_freq_factor", "a number above low_freq_factor");
      break;
    default:
      break;
  }
}

// 1 / base^(2i / dim), in f32 from the exponent on.
std::vector<float> plain_frequencies(double base, std::int64_t dim) {
  std::vector<float> out(static_cast<std::size_t>(dim / 2));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = 1.0f / std::pow(static_cast<float>(base),
                             static_cast<float>(2 * i) / static_cast<float>(dim));
  return out;
}

// Base that spreads max_model_len positions over the angles of pretraining (NTK-aware scaling).
double dynamic_base(const RopeConfig& rope, std::int64_t max_model_len) {
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const double length = std::max(static_cast<double>(max_model_len), original);
  const auto dim = static_cast<double>(rope.rotary_dim);
  return rope.theta *
         std::pow(rope.factor * length / original - (rope.factor - 1.0), dim / (dim - 2.0));
}

// Low dimensions turn often within the length of pretraining and keep their frequency, high ones
// are interpolated, those between are blended. https://arxiv.org/abs/2309.00071
std::vector<float> yarn_frequencies(const RopeConfig& rope) {
  const auto dim = static_cast<double>(rope.rotary_dim);
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const auto dimension_of = [&](double rotations) {
    return dim * std::log(original / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(rope.theta));
  };
  double low = dimension_of(rope.beta_fast);
  double high = dimension_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;

  std::vector<float> out(static_cast<std::size_t>(rope.rotary_dim / 2));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const float position = std::pow(static_cast<float>(rope.theta),
                                    static_cast<float>(2 * i) / static_cast<float>(dim));
    const float extrapolated = 1.0f / position;
    const float interpolated = 1.0f / (static_cast<float>(rope.factor) * position);
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low),
        0.0f,
        1.0f);
    const float keep = 1.0f - ramp;
    out[i] = interpolated * (1.0f - keep) + extrapolated * keep;
  }
  return out;
}

double yarn_scale(const RopeConfig& rope) {
  const auto scale_of = [&](double mscale) {
    return rope.factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(rope.factor) + 1.0;
  };
  if (rope.attention_factor) return *rope.attention_factor;
  if (rope.mscale != 0.0 && rope.mscale_all_dim != 0.0)
    return scale_of(rope.mscale) / scale_of(rope.mscale_all_dim);
  return scale_of(1.0);
}

// https://arxiv.org/abs/2402.13753, as Phi-3 uses it: a searched divisor per dimension.
std::vector<float> longrope_frequencies(const RopeConfig& rope, std::int64_t max_model_len) {
  const std::vector<double>& factors =
      max_model_len > rope.original_max_position_embeddings ? rope.long_factor : rope.short_factor;
  std::vector<float> out(static_cast<std::size_t>(rope.rotary_dim / 2));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = 1.0f / (static_cast<float>(factors[i]) *
                     std::pow(static_cast<float>(rope.theta),
                              static_cast<float>(2 * i) / static_cast<float>(rope.rotary_dim)));
  return out;
}

double longrope_scale(const RopeConfig& rope) {
  if (rope.attention_factor) return *rope.attention_factor;
  if (rope.factor <= 1.0) return 1.0;
  return std::sqrt(1.0 + std::log(rope.factor) /
                             std::log(static_cast<double>(rope.original_max_position_embeddings)));
}

// Llama 3.1: wavelengths longer than the pretraining context (over low_freq_factor) are stretched
// by factor, those shorter than it (over high_freq_factor) stay, between them a ramp.
std::vector<float> llama3_frequencies(const RopeConfig& rope) {
  std::vector<float> out = plain_frequencies(rope.theta, rope.rotary_dim);
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const auto longest = static_cast<float>(original / rope.low_freq_factor);
  const auto shortest = static_cast<float>(original / rope.high_freq_factor);
  const auto factor = static_cast<float>(rope.factor);
  const auto low = static_cast<float>(rope.low_freq_factor);
  const auto range = static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
  for (float& frequency : out) {
    const float wavelength = static_cast<float>(2.0 * std::numbers::pi) / frequency;
    if (wavelength > longest) {
      frequency /= factor;
    } else if (wavelength >= shortest) {
      const float smooth = (static_cast<float>(original) / wavelength - low) / range;
      frequency = (1.0f - smooth) * frequency / factor + smooth * frequency;
    }
  }
  return out;
}

}  // namespace

RopeConfig parse_rope(const ConfigReader& reader,
                      std::int64_t head_dim,
                      std::int64_t max_position_embeddings) {
  std::optional<ConfigReader> scaling = reader.object("rope_scaling");
  const std::optional<ConfigReader> parameters = reader.object("rope_parameters");
  if (!scaling) scaling = parameters;

  RopeConfig rope;
  rope.rotary_dim = head_dim;
  rope.theta = reader.positive("rope_theta", rope.theta);
  for (const std::optional<ConfigReader>& holder : {parameters, scaling})
    if (holder) rope.theta = holder->positive("rope_theta", rope.theta);
  for (const ConfigReader& holder : {scaling.value_or(reader), reader}) {
    if (holder.positive("partial_rotary_factor", 1.0) != 1.0)
      holder.reject("partial_rotary_factor", "1 (whole heads are rotated in this family)");
  }
  if (rope.theta <= 1.0) reader.reject("rope_theta", "a number above 1");
  if (scaling) {
    for (const std::string_view layer_type : {"full_attention", "sliding_attention"})
      if (scaling->has(layer_type))
        scaling->reject(layer_type, "one set of rotary parameters for all layers");
    parse_scaling(reader, *scaling, max_position_embeddings, rope);
  }
  if (rope.kind == RopeKind::dynamic && rope.rotary_dim <= 2)
    fail("{}: dynamic rope scaling needs a head_dim above 2", reader.origin());
  return rope;
}

std::int64_t context_length(const RopeConfig& rope, std::int64_t max_position_embeddings) {
  const auto times_factor = [&](std::int64_t length) {
    return static_cast<std::int64_t>(static_cast<double>(length) * rope.factor);
  };
  switch (rope.kind) {
    case RopeKind::linear:
    case RopeKind::dynamic:
      return times_factor(max_position_embeddings);
    case RopeKind::yarn:
      return times_factor(rope.original_max_position_embeddings);
    case RopeKind::plain:
    case RopeKind::longrope:
    case RopeKind::llama3:
      return max_position_embeddings;
  }
  return max_position_embeddings;
}

RotaryFrequencies rotary_frequencies(const RopeConfig& rope, std::int64_t max_model_len) {
  switch (rope.kind) {
    case RopeKind::plain:
      return {plain_frequencies(rope.theta, rope.rotary_dim), 1.0f};
    case RopeKind::linear: {
      std::vector<float> frequencies = plain_frequencies(rope.theta, rope.rotary_dim);
      for (float& frequency : frequencies) frequency /= static_cast<float>(rope.factor);
      return {std::move(frequencies), 1.0f};
    }
    case RopeKind::dynamic:
      return {plain_frequencies(dynamic_base(rope, max_model_len), rope.rotary_dim), 1.0f};
    case RopeKind::yarn:
      return {yarn_frequencies(rope), static_cast<float>(yarn_scale(rope))};
    case RopeKind::longrope:
      return {longrope_frequencies(rope, max_model_len), static_cast<float>(longrope_scale(rope))};
    case RopeKind::llama3:
      return {llama3_frequencies(rope), 1.0f};
  }
  return {};
}

}  // namespace fastchat::model
