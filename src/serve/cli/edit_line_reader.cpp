// Line editing with libedit. Bytes from the terminal are read and decoded here, not by libedit, so
// that typing works whatever the locale says, Ctrl-C is noticed, and a pasted text can be told from
// typed keys.
#include <cerrno>
#include <climits>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include "serve/cli/chat_command.h"
#include "serve/cli/interrupts.h"
#include "serve/cli/line_reader.h"
#include "serve/cli/utf8.h"

namespace fastchat::serve {
namespace {

constexpr int kHistoryLines = 1000;
constexpr int kEscapeWaitMs =
    25;  // a key's escape sequence arrives in one piece; a lone ESC is followed by nothing
constexpr char kEscape = '\x1b';
constexpr char kAltEnter = '\x1e';  // our own mark; as a key it has no meaning in the editor
// Ctrl-D pressed while the driver still edited lines (during an answer) comes out of its buffer as
// this.
constexpr char kTypedAheadEnd = '\0';
constexpr wchar_t kCtrlD = 4;
constexpr wchar_t kShownNewline = L'\u21b5';  // ↵: how a newline inside the edited line looks
constexpr std::string_view kPasteBegin = "[200~";
constexpr std::string_view kPasteEnd = "[201~";
constexpr std::string_view kPasteModeOn = "\x1b[?2004h";
constexpr std::string_view kPasteModeOff = "\x1b[?2004l";

// libedit writes through the C library's conversions: any UTF-8 locale will do.
bool set_utf8_locale() {
  for (const char* name : {"", "C.UTF-8", "C.utf8", "en_US.UTF-8", "zh_CN.UTF-8"}) {
    if (std::setlocale(LC_CTYPE, name) == nullptr) continue;
    char bytes[MB_LEN_MAX] = {};
    if (std::wctomb(bytes, kShownNewline) == 3 && std::string_view(bytes) == "\xE2\x86\xB5")
      return true;
  }
  std::setlocale(LC_CTYPE, "C");
  return false;
}

class EditLineReader : public LineReader {
 public:
  EditLineReader()
      : editor_(el_init("fastchat", stdin, stdout, stderr)), history_(history_winit()) {
    if (!usable()) return;
    HistEventW event;
    history_w(history_, &event, H_SETSIZE, kHistoryLines);
    history_w(history_, &event, H_SETUNIQUE, 1);
    el_set(editor_, EL_CLIENTDATA, this);
    el_set(editor_, EL_SIGNAL, 0);
    el_set(editor_, EL_EDITOR, "emacs");
    el_wset(editor_, EL_HIST, history_w, history_);
    el_wset(editor_, EL_PROMPT_ESC, &EditLineReader::show_prompt, L'\1');
    el_set(editor_, EL_GETCFN, &EditLineReader::read_character);
    el_wset(editor_, EL_ADDFN, L"complete-command", L"", &EditLineReader::complete_command);
    el_wset(editor_, EL_ADDFN, L"insert-newline", L"", &EditLineReader::insert_newline);
    constexpr const char* kKeys[][2] = {{"^I", "complete-command"},
                                        {"\\e^M", "insert-newline"},
                                        {"\\e^J", "insert-newline"},
                                        {"^R", "em-inc-search-prev"},
                                        {"^W", "ed-delete-prev-word"},
                                        {"\\e[3~", "ed-delete-next-char"},
                                        {"\\e[H", "ed-move-to-beg"},
                                        {"\\e[F", "ed-move-to-end"},
                                        {"\\e[1~", "ed-move-to-beg"},
                                        {"\\e[4~", "ed-move-to-end"},
                                        {"\\eOH", "ed-move-to-beg"},
                                        {"\\eOF", "ed-move-to-end"},
                                        {"\\e[1;5C", "em-next-word"},
                                        {"\\e[1;5D", "ed-prev-word"}};
    for (const auto& [key, command] : kKeys) el_set(editor_, EL_BIND, key, command, nullptr);
  }

  ~EditLineReader() override {
    if (history_ != nullptr) history_wend(history_);
    if (editor_ != nullptr) el_end(editor_);
  }
  EditLineReader(const EditLineReader&) = delete;
  EditLineReader& operator=(const EditLineReader&) = delete;

  bool usable() const { return editor_ != nullptr && history_ != nullptr; }

  Line read_line(std::string_view role) override {
    prompt_.clear();
    if (!role.empty()) set_prompt(role);
    has_shown_newlines_ = interrupted_ = in_paste_ = had_typed_ = false;
    print(kPasteModeOn);
    el_set(editor_,
           EL_PREP_TERM,
           1);  // or keys pressed as soon as the prompt shows meet the terminal driver's editing
    int length = 0;
    const wchar_t* typed = el_wgets(editor_, &length);
    print(kPasteModeOff);
    if (typed == nullptr || length <= 0) {
      print(interrupted_ ? "^C\n" : "\n");
      pending_.clear();
      return {.kind = interrupted_ ? Line::Kind::interrupted : Line::Kind::end_of_input,
              .text = "",
              .discarded = interrupted_ && had_typed_};
    }
    Line line{.kind = Line::Kind::text, .text = ""};
    for (int index = 0; index < length; ++index) {
      const wchar_t character = typed[index];
      if (index + 1 == length && (character == L'\n' || character == L'\r')) break;
      append_utf8(line.text,
                  has_shown_newlines_ && character == kShownNewline
                      ? U'\n'
                      : static_cast<char32_t>(character));
    }
    remember(line.text);
    return line;
  }

  void remember(std::string_view text) override {
    if (text.find_first_not_of(" \t\n") == std::string_view::npos) return;
    const std::wstring wide = widen(text);
    HistEventW event;
    history_w(history_, &event, H_ENTER, wide.c_str());
  }

 private:
  static EditLineReader& self(EditLine* editor) {
    void* data = nullptr;
    el_get(editor, EL_CLIENTDATA, &data);
    return *static_cast<EditLineReader*>(data);
  }

  static wchar_t* show_prompt(EditLine* editor) { return self(editor).prompt_.data(); }

  static std::wstring widen(std::string_view text) {
    std::wstring wide;
    while (!text.empty()) {
      const char32_t character = first_character(text);
      wide.push_back(character == U'\n' ? kShownNewline : static_cast<wchar_t>(character));
      text.remove_prefix(utf8_length(text));
    }
    return wide;
  }

  // ESC and Enter as two keys; Alt-Enter sends both at once and is seen in take_escape().
  static unsigned char insert_newline(EditLine* editor, wint_t) {
    self(editor).has_shown_newlines_ = true;
    constexpr wchar_t kText[] = {kShownNewline, 0};
    return el_winsertstr(editor, kText) == 0 ? CC_REFRESH : CC_ERROR;
  }

  // Tab: a command as far as it is clear, then those that begin so; elsewhere a tab.
  static unsigned char complete_command(EditLine* editor, wint_t) {
    const LineInfoW* const line = el_wline(editor);
    std::string typed;
    for (const wchar_t* at = line->buffer; at != line->cursor; ++at)
      append_utf8(typed, static_cast<char32_t>(*at));
    if (!typed.starts_with("!!")) return el_winsertstr(editor, L"\t") == 0 ? CC_REFRESH : CC_ERROR;
    const std::vector<std::string_view> names = chat_commands(typed);
    if (names.empty()) return CC_ERROR;
    std::string_view common = names.front();
    for (const std::string_view name : names)
      while (!name.starts_with(common)) common.remove_suffix(1);
    if (common.size() > typed.size()) {
      const std::wstring rest = widen(common.substr(typed.size()));
      return el_winsertstr(editor, rest.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    }
    if (names.size() == 1) return CC_ERROR;
    print("\n");
    for (const std::string_view name : names) print(std::string(name) + "  ");
    print("\n");
    return CC_REDISPLAY;
  }

  void set_prompt(std::string_view role) {
    const std::wstring label = widen(role) + L":";
    // \1 encloses what takes no room on the screen.
    prompt_ = colour_wanted() ? L"\1\x1b[1m\1" + label + L"\1\x1b[0m\1 " : label + L" ";
  }

  static void print(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  // libedit asks for one character: 1 = there is one, 0 = end of input, -1 = give the line up.
  static int read_character(EditLine* editor, wchar_t* character) {
    return self(editor).next(*character);
  }

  int next(wchar_t& character) {
    for (;;) {
      if (const int status = ensure_byte(); status != 1) return status;
      const char lead = take();
      if (lead == kEscape && take_escape()) continue;
      if (in_paste_ ? !take_pasted(lead, character) : !take_typed(lead, character)) continue;
      return 1;
    }
  }

  bool take_typed(char lead, wchar_t& character) {
    if (lead == kAltEnter) {
      has_shown_newlines_ = true;
      character = kShownNewline;
    } else if (lead == kTypedAheadEnd) {
      character = kCtrlD;
    } else {
      character = decode(lead);
    }
    return true;
  }

  // Newlines become visible ones, other control characters are dropped: nothing pasted is a command
  // to the editor.
  bool take_pasted(char lead, wchar_t& character) {
    if (lead == '\r' || lead == '\n') {
      has_shown_newlines_ = true;
      character = kShownNewline;
      return true;
    }
    if (lead == '\t') lead = ' ';
    if (static_cast<unsigned char>(lead) < 0x20 || lead == 0x7F) return false;
    character = decode(lead);
    return true;
  }

  // After ESC: an end of a paste, Alt-Enter, or a key that libedit knows (false).
  bool take_escape() {
    if (in_paste_) {
      if (follows(kPasteEnd)) in_paste_ = false;
      return !in_paste_;
    }
    if (follows(kPasteBegin)) {
      in_paste_ = true;
      return true;
    }
    if (!pending_.empty() && (pending_.front() == '\r' || pending_.front() == '\n')) {
      pending_.front() = kAltEnter;
      return true;
    }
    return false;
  }

  // Takes `sequence` if it comes next. What came instead stays pending.
  bool follows(std::string_view sequence) {
    for (std::size_t index = 0; index < sequence.size(); ++index) {
      if (index >= pending_.size() && read_bytes(kEscapeWaitMs) != 1) return false;
      if (pending_[index] != sequence[index]) return false;
    }
    pending_.erase(pending_.begin(),
                   pending_.begin() + static_cast<std::ptrdiff_t>(sequence.size()));
    return true;
  }

  wchar_t decode(char lead) {
    std::string bytes(1, lead);
    const std::size_t expected = utf8_expected_length(static_cast<unsigned char>(lead));
    while (bytes.size() < expected && ensure_byte() == 1) {
      if ((static_cast<unsigned char>(pending_.front()) & 0xC0) != 0x80) break;
      bytes.push_back(take());
    }
    return static_cast<wchar_t>(first_character(replace_invalid_utf8(bytes)));
  }

  char take() {
    const char byte = pending_.front();
    pending_.pop_front();
    return byte;
  }

  int ensure_byte() { return pending_.empty() ? read_bytes(-1) : 1; }

  // Waits for bytes of the terminal, minding signals: 1 = there are some, 0 = end or timeout, -1 =
  // Ctrl-C.
  int read_bytes(int timeout_ms) {
    for (;;) {
      if (Interrupts::interrupted()) {
        Interrupts::clear();
        interrupted_ = true;
        const LineInfoW* const line = el_wline(editor_);
        had_typed_ = line->lastchar > line->buffer;
        return -1;
      }
      if (Interrupts::take_terminal_changed()) redraw();
      pollfd inputs[] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                         {.fd = Interrupts::wake_fd(), .events = POLLIN, .revents = 0}};
      const int ready = poll(inputs, 2, timeout_ms);
      if (ready == 0) return 0;
      if (ready < 0) continue;
      if (inputs[1].revents != 0) Interrupts::drain();
      if (inputs[0].revents == 0) continue;
      char bytes[1024];
      const ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (count <= 0) return 0;
      pending_.insert(pending_.end(), bytes, bytes + count);
      return 1;
    }
  }

  // A new size, or another program had the terminal meanwhile.
  void redraw() {
    el_resize(editor_);
    el_set(editor_, EL_PREP_TERM, 0);
    el_set(editor_, EL_PREP_TERM, 1);
    print(kPasteModeOn);
    el_set(editor_, EL_REFRESH);
  }

  EditLine* editor_;
  HistoryW* history_;
  std::wstring prompt_;
  std::deque<char> pending_;  // bytes read and not yet given to libedit
  bool in_paste_ = false;
  bool has_shown_newlines_ = false;
  bool interrupted_ = false;
  bool had_typed_ = false;  // when it was interrupted
};

}  // namespace

std::unique_ptr<LineReader> make_edit_line_reader() {
  if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1) return nullptr;
  const char* term = std::getenv("TERM");
  if (term == nullptr || *term == '\0' || std::string_view(term) == "dumb") return nullptr;
  if (!set_utf8_locale()) return nullptr;
  auto reader = std::make_unique<EditLineReader>();
  return reader->usable() ? std::move(reader) : nullptr;
}

}  // namespace fastchat::serve
