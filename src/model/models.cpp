#include "model/models.h"

#include <array>

#include "base/bilingual_failure.h"
#include "base/check.h"

namespace fastchat::model {

std::span<const Family> families() {
  // A new family is one line here and one file.
  static const std::array kFamilies{kQwen2, kQwen3, kLlama, kMistral};
  return kFamilies;
}

const Family& family_of(std::string_view architecture, std::string_view origin) {
  std::string known;
  for (const Family& family : families()) {
    if (family.architecture == architecture) return family;
    known +=
        fmt::format("{}{} ({})", known.empty() ? "" : ", ", family.architecture, family.models);
  }
  fail_in_both("{}: architecture {} is not supported; known are {}",
               "{}：不支持模型结构 {}；已支持 {}",
               origin,
               in_quotes(architecture),
               known);
}

std::string TensorNames::in_layer(std::int64_t layer,
                                  std::string_view name,
                                  std::string_view suffix) const {
  return fmt::format(fmt::runtime(layer_prefix), layer).append(name).append(suffix);
}

}  // namespace fastchat::model
