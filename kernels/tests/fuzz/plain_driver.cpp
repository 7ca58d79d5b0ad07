// Runs a fuzz target without libFuzzer: on the files that are named, or on as many random inputs as a number says.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  const long num_inputs = argc == 2 ? std::atol(argv[1]) : 0;
  for (long seed = 0; seed < num_inputs; ++seed) {
    std::mt19937 random(static_cast<uint32_t>(seed));
    std::vector<uint8_t> bytes(random() % 200);
    const bool is_sparse = random() % 2 == 0;
    for (auto& byte : bytes) byte = static_cast<uint8_t>(is_sparse && random() % 4 ? 0 : random());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  for (int i = 1; num_inputs == 0 && i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
  std::printf("nothing went wrong\n");
}
