// Standard output and error as the chat uses them: written at once, quiet when nobody reads any
// more.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace fastchat::serve {

/// The reader of our output went away (SIGPIPE's case): the program ends quietly.
class OutputClosed : public std::exception {
 public:
  const char* what() const noexcept override { return "output closed"; }
};

/// How roles are marked. programmatic is FastChat's form for programs: "[!OP:ROLE]: ".
enum class RoleStyle { simple, programmatic };

/// Terminal thread only.
class Console {
 public:
  explicit Console(RoleStyle role_style = RoleStyle::simple);

  bool output_is_terminal() const { return output_is_terminal_; }

  /// Writes all of `text` to standard output. Throws OutputClosed, or Failure for a full disk and
  /// the like.
  void write(std::string_view text);
  /// Text that a model or a file made: on a terminal, control characters in it become U+FFFD.
  void write_foreign(std::string_view text);
  /// "USER: ", in colour on a terminal; or as programs want it.
  void write_role(std::string_view role);
  /// A line on standard error: errors and notes. Never throws.
  void note(std::string_view line);

 private:
  RoleStyle role_style_;
  bool output_is_terminal_ = false;
  bool colour_ = false;
};

/// Whether to colour what goes to a terminal: not under TERM=dumb or with NO_COLOR.
bool colour_wanted();

}  // namespace fastchat::serve
