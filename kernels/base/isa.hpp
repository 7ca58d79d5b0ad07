// Which instruction sets this machine has, and the choice of one among a trade's tables of functions.
#pragma once

#include <atomic>
#include <string>
#include <vector>

namespace dcvc {

// "scalar", "sse2", "avx2", "avx512", "amx" and "neon": whether this machine can run it; false for other names.
bool has_isa(const std::string& name);

// 0 for "scalar", higher for what is better; -1 for other names.
int rank_of_isa(const std::string& name);

// A trade's tables: the same functions once for each instruction set. A table is a struct of function pointers with a
// `name`.
template <class Table>
class Dispatch {
 public:
  // Tables from the plainest, which must be "scalar", to the best. Those that this machine cannot run are left out.
  explicit Dispatch(const std::vector<const Table*>& tables) {
    for (const Table* table : tables) {
      if (has_isa(table->name)) usable_.push_back(table);
    }
    current_ = usable_.back();
  }

  const std::vector<const Table*>& usable() const { return usable_; }

  // The best table up to an instruction set, or of all if the name is empty; null if this machine cannot run that set.
  const Table* find(const std::string& name) const {
    if (name.empty()) return usable_.back();
    if (!has_isa(name)) return nullptr;
    const Table* found = nullptr;
    for (const Table* table : usable_) {
      if (rank_of_isa(table->name) <= rank_of_isa(name)) found = table;
    }
    return found;
  }

  // The table in use: the best one until `choose`.
  const Table& current() const { return *current_.load(std::memory_order_acquire); }

  // As `find`; false, and no change, if that finds none.
  bool choose(const std::string& name) {
    const Table* found = find(name);
    if (found) current_.store(found, std::memory_order_release);
    return found != nullptr;
  }

 private:
  std::vector<const Table*> usable_;
  std::atomic<const Table*> current_;
};

// Names of tables, the best last.
template <class Table>
std::vector<std::string> names_of(const std::vector<const Table*>& tables) {
  std::vector<std::string> names;
  for (const Table* table : tables) names.emplace_back(table->name);
  return names;
}

}  // namespace dcvc
