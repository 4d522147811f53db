// The random texts and ids of the tokenizer goldens: the same integer hash as in record_goldens.py.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fastchat::text {

/// splitmix64: the i-th number of a seed.
class Hash {
 public:
  explicit Hash(std::uint64_t seed) : state_(seed) {}
  std::uint32_t next(std::uint32_t bound) {
    state_ += 0x9E3779B97F4A7C15ull;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return static_cast<std::uint32_t>((z ^ (z >> 31)) % bound);
  }

 private:
  std::uint64_t state_;
};

inline std::uint64_t fnv(std::string_view bytes, std::uint64_t value = 0xCBF29CE484222325ull) {
  for (const char byte : bytes) {
    value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001B3ull;
  }
  return value;
}

inline void append_utf8(std::string& text, std::uint32_t c) {
  // Half of the surrogates' numbers stand for the character below them, half for the one above.
  if (c >= 0xD800 && c <= 0xDFFF) c = c < 0xDC00 ? 0xD7FF : 0xE000;
  const auto put = [&](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

inline std::string random_text(std::uint64_t seed) {
  using namespace std::string_view_literals;
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  constexpr std::string_view kMarks = "!?.,;:'\"()[]{}<>/\\|@#$%^&*-_=+`~";
  constexpr std::array kBlanks{" "sv,
                               "  "sv,
                               "\t"sv,
                               "\n"sv,
                               "\n\n"sv,
                               "\r"sv,
                               "\r\n"sv,
                               "\u00a0"sv,
                               "\u3000"sv,
                               "\u2028"sv,
                               "\xC2\x85"sv,
                               "\u200b"sv,
                               "\x0b"sv,
                               "\x1c"sv};
  constexpr std::array kWords{"<|endoftext|>"sv,
                              "<|im_start|>"sv,
                              "<|im_end|>"sv,
                              "<|im_start"sv,
                              "|im_end|>"sv,
                              "<|unknown|>"sv,
                              "don't"sv,
                              "I'LL"sv,
                              "'\u017f"sv,
                              "'S"sv,
                              "we've"sv,
                              "for (int i = 0; i < n; ++i) {\n"sv,
                              "    return x;\n}"sv,
                              "def f(self):\n\t"sv,
                              "std::vector<int>"sv,
                              "你好,世界!"sv,
                              "今天天气很好。"sv,
                              "中华人民共和国"sv,
                              "\U0001f468\u200d\U0001f469\u200d\U0001f467"sv,
                              "\U0001f1e9\U0001f1ea"sv,
                              "\U0001f44d\U0001f3fd"sv,
                              "\u2764\ufe0f\u200d\U0001f525"sv,
                              "\u212b"sv,
                              "e\u0301"sv,
                              "\u1e9b\u0323"sv,
                              "\ufb01"sv,
                              "\u0958"sv,
                              "\ufffd"sv,
                              "3.14159"sv,
                              "https://example.org/a?b=c&d=%20"sv};
  constexpr std::array<std::uint32_t, 34> kBlocks{
      0x00C0,  0x0370,  0x0400,  0x0590,  0x0600,  0x0900,  0x0E00,  0x1000,  0x10A0,
      0x1E00,  0x2000,  0x2190,  0x2460,  0x3040,  0xA960,  0xAC00,  0xD7A0,  0xE000,
      0xF900,  0xFB00,  0xFF00,  0x10400, 0x11F00, 0x16FF0, 0x1D400, 0x1E900, 0x1F300,
      0x1F600, 0x20000, 0x2F800, 0x2FFE0, 0x31350, 0xE0000, 0x10FFA0};

  Hash h(seed);
  std::string text;
  const auto times = [](std::uint32_t count, const auto& body) {
    for (std::uint32_t i = 0; i < count; ++i) body();
  };
  times(1 + h.next(12), [&] {
    switch (h.next(12)) {
      case 0:
        times(1 + h.next(10), [&] { text += kLetters[h.next(52)]; });
        break;
      case 1:
        times(1 + h.next(8), [&] { append_utf8(text, 0x4E00 + h.next(0x51A6)); });
        break;
      case 2:
        times(1 + h.next(7), [&] { append_utf8(text, 0x30 + h.next(10)); });
        break;
      case 3:
        times(1 + h.next(6), [&] { text += kBlanks[h.next(kBlanks.size())]; });
        break;
      case 4:
        times(1 + h.next(5), [&] { text += kMarks[h.next(kMarks.size())]; });
        break;
      case 5:
        times(1 + h.next(4), [&] { append_utf8(text, h.next(0x110000)); });
        break;
      case 6:
        text += kLetters[h.next(52)];
        times(1 + h.next(4), [&] { append_utf8(text, 0x300 + h.next(0x70)); });
        break;
      case 7:
        text += kWords[h.next(kWords.size())];
        break;
      case 8:
        append_utf8(text, h.next(0xA0));
        break;
      case 9: {
        const std::uint32_t block = kBlocks[h.next(kBlocks.size())];
        times(1 + h.next(6), [&] { append_utf8(text, block + h.next(96)); });
        break;
      }
      case 10:
        times(1 + h.next(3), [&] {
          append_utf8(text, 0x1100 + h.next(19));
          append_utf8(text, 0x1161 + h.next(21));
          append_utf8(text, 0x11A7 + h.next(28));
        });
        break;
      default: {
        const char letter = static_cast<char>(kLetters[h.next(52)] | 0x20);
        text += ' ';
        text.append(1 + h.next(40), letter);
      }
    }
  });
  return text;
}

inline std::vector<std::int32_t> random_ids(std::uint64_t seed) {
  Hash h(seed);
  std::vector<std::int32_t> ids(1 + h.next(40));
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(h.next(151700));
  return ids;
}

}  // namespace fastchat::text
