// What was loaded where, in a few lines before the first prompt.
#pragma once

#include <string>

namespace fastchat::serve {

class ModelInstance;

/// Model, parameters, dtype, what each device holds, how several work together and why, context,
/// tied weights that are held twice, and with `how_to_leave` the keys of the chat. In colour when
/// standard error is a terminal that has colours.
std::string start_report(const ModelInstance& model, bool how_to_leave);

}  // namespace fastchat::serve
