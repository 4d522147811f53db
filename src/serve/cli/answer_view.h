// How answers appear: as they come, or as Markdown drawn while it streams.
#pragma once

#include <memory>
#include <string_view>

#include "serve/cli/console.h"

namespace fastchat::serve {

/// Shows one answer after the other. Terminal thread only. The text is foreign: whatever is in it,
/// no control character reaches a terminal.
class AnswerView {
 public:
  virtual ~AnswerView() = default;
  /// Where the answer will stand: behind the role ("ASSISTANT: "), or on a line of its own.
  enum class Place { behind_role, own_line };
  virtual void begin(Place place) = 0;
  /// The next piece, whole characters of UTF-8.
  virtual void add(std::string_view piece) = 0;
  /// Called often while an answer is awaited, so that a late drawing or a new window size is not.
  virtual void tick() = 0;
  /// All of it is on the screen, and the cursor at the beginning of a line. Also after an answer
  /// that was stopped.
  virtual void finish() = 0;

  /// A whole text at once, behind its role.
  void show(std::string_view text) {
    begin(Place::behind_role);
    add(text);
    finish();
  }
};

/// Text as it comes.
std::unique_ptr<AnswerView> make_plain_answer_view(Console& console);

/// Markdown. Blocks are printed for good as soon as they are finished; the open one is drawn below
/// as it grows, of which a low window shows the end until it is finished. A window too small for
/// that gets blocks when they are finished. Plain text where standard output is no terminal, or one
/// that cannot move its cursor. Needs Interrupts (for changes of the window).
std::unique_ptr<AnswerView> make_rich_answer_view(Console& console);

}  // namespace fastchat::serve
