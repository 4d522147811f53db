// Ctrl-C, window changes and coming back from the background, as flags that the terminal thread
// looks at.
#pragma once

namespace fastchat::serve {

/// Installs handlers while it lives; one at a time. SIGPIPE is ignored, so that a closed output is
/// an error of write(). A second Ctrl-C while the first one has not been cleared ends the process
/// at once with status 130: whatever is stuck, two of them get out. That way and SIGTERM leave the
/// terminal as it was when this was made.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  /// Ctrl-C came since the last clear().
  static bool interrupted();
  static void clear();
  /// The terminal's size changed, or we came back from the background, since the last call.
  static bool take_terminal_changed();
  /// Becomes readable with every signal; drain() empties it. For poll().
  static int wake_fd();
  static void drain();
};

}  // namespace fastchat::serve
