// FastChat's flags that this version knows and does not have.
#pragma once

namespace CLI {  // NOLINT(readability-identifier-naming): their name
class App;
}

namespace fastchat::serve {

/// Adds them to `app`, hidden from its help: whoever gives one is told what to do instead, with
/// the exit status of a wrong usage.
void add_later_flags(CLI::App& app);

}  // namespace fastchat::serve
