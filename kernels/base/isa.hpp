// The instruction sets that this machine has, and the choice of a table of functions by instruction set.
#pragma once

#include <atomic>
#include <string>
#include <vector>

namespace dcvc {

// Whether this machine can run "scalar", "sse2", "avx2", "avx512", "amx" or "neon". False for other names.
bool has_isa(const std::string& name);

// The rank of an instruction set: 0 for "scalar", higher for a better one, -1 for other names.
int rank_of_isa(const std::string& name);

// The tables of one extension: the same functions once for each instruction set. A table is a struct of function
// pointers with a `name`.
template <class Table>
class Dispatch {
 public:
  // tables: from the plainest, which must be "scalar", to the best. Tables that this machine cannot run are left out.
  explicit Dispatch(const std::vector<const Table*>& tables) {
    for (const Table* table : tables) {
      if (has_isa(table->name)) usable_.push_back(table);
    }
    current_ = usable_.back();
  }

  const std::vector<const Table*>& usable() const { return usable_; }

  // The best table up to an instruction set, or the best of all if the name is empty. Null if this machine cannot run
  // that set.
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

  // Puts the table that `find` gives in use. False, and no change, if `find` gives none.
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
