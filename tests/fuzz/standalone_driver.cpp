// Runs a fuzz target without libFuzzer: the seeds of the corpus folders as they are, then seeded
// mutations of them.
//   <name>_fuzz [--runs N] [--seed S] [--seconds T] corpus-folder-or-file…
// Stops after N mutations or T seconds, whichever is first. Before each run the input is kept in
// memory; a crash writes it to crash-<seed>-<run> in the working folder, and that file as an
// argument repeats it.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

constexpr std::size_t kMaxSize = 1 << 14;

std::string current_input;
char crash_file[128] = "crash";

void save_input() {
  const int file = ::open(crash_file, O_CREAT | O_WRONLY | O_TRUNC, 0644);
  if (file < 0) return;
  if (::write(file, current_input.data(), current_input.size()) >= 0) {
    std::fprintf(stderr, "the input is in %s\n", crash_file);
  }
  ::close(file);
}

void on_signal(int signal) {
  save_input();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const std::string& input) {
  current_input = input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

class Mutator {
 public:
  Mutator(std::vector<std::string> seeds, std::uint64_t seed)
      : seeds_(std::move(seeds)), random_(seed) {
    if (seeds_.empty()) seeds_.push_back("");
  }

  std::string next() {
    std::string input = seeds_[below(seeds_.size())];
    const std::size_t num_changes = 1 + below(5);
    for (std::size_t i = 0; i < num_changes; ++i) change(input);
    input.resize(std::min(input.size(), kMaxSize));
    return input;
  }

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }

  void change(std::string& input) {
    const std::size_t at = below(input.size() + 1);
    const std::size_t size = below(std::min<std::size_t>(input.size() - at, 64) + 1);
    switch (below(7)) {
      case 0:  // flip a bit
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 1:  // any byte
        input.insert(at, 1, static_cast<char>(below(256)));
        break;
      case 2:
        input.erase(at, size);
        break;
      case 3:  // repeat a part, sometimes often
        for (std::size_t i = below(4) == 0 ? below(200) : 1; i > 0 && input.size() < kMaxSize;
             --i) {
          input.insert(at, input.substr(at, size));
        }
        break;
      case 4:  // a part of another seed
      {
        const std::string& other = seeds_[below(seeds_.size())];
        const std::size_t from = below(other.size() + 1);
        input.insert(at, other, from, below(64) + 1);
        break;
      }
      case 5:
        input.resize(at);
        break;
      default:  // a number that programs get wrong
        static const char* const kNumbers[] = {
            "-1", "0", "4294967296", "18446744073709551616", "1e999", "-9223372036854775809"};
        input.replace(at, size, kNumbers[below(std::size(kNumbers))]);
    }
  }

  std::vector<std::string> seeds_;
  std::mt19937_64 random_;
};

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t num_runs = 20000, seed = 1;
  double seconds = 5;
  std::vector<std::string> seeds;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&] { return i + 1 < argc ? argv[++i] : "0"; };
    if (argument == "--runs") {
      num_runs = std::strtoull(value(), nullptr, 10);
    } else if (argument == "--seed") {
      seed = std::strtoull(value(), nullptr, 10);
    } else if (argument == "--seconds") {
      seconds = std::strtod(value(), nullptr);
    } else if (std::filesystem::is_directory(argument)) {
      std::vector<std::filesystem::path> files(std::filesystem::directory_iterator(argument), {});
      std::sort(files.begin(), files.end());
      for (const auto& file : files) seeds.push_back(read_file(file));
    } else {
      seeds.push_back(read_file(argument));
    }
  }
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGBUS})
    std::signal(signal, on_signal);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(save_input);

  std::snprintf(crash_file, sizeof crash_file, "crash-seed");
  for (const std::string& input : seeds) run(input);

  Mutator mutator(seeds, seed);
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::uint64_t done = 0;
  for (; done < num_runs && elapsed() < seconds; ++done) {
    std::snprintf(crash_file,
                  sizeof crash_file,
                  "crash-%llu-%llu",
                  static_cast<unsigned long long>(seed),
                  static_cast<unsigned long long>(done));
    run(mutator.next());
  }
  std::printf("%zu seeds, %llu mutations (seed %llu) in %.1f s\n",
              seeds.size(),
              static_cast<unsigned long long>(done),
              static_cast<unsigned long long>(seed),
              elapsed());
  return 0;
}
