// What the host plans in C++, for the tests that hold the Python of the backend to it.
#include "kernels/cuda/arena.hpp"
#include "kernels/cuda/packing.hpp"

using namespace dcvc::cuda;

extern "C" {

int plan_weight_place(int column, int channel) { return weight_place(column, channel); }
int plan_num_columns(int order, int outputs) { return num_columns(static_cast<ColumnOrder>(order), outputs); }
int plan_output_of_column(int order, int outputs, int column) {
  return output_of_column(static_cast<ColumnOrder>(order), outputs, column);
}
int plan_takes_large_tile(int positions, int columns, int multiprocessors) {
  return takes_large_tile(positions, columns, multiprocessors);
}

// Addresses of requests: bytes of a part, or -1 - k to give back that of request k (its address is 0 then). Pieces
// stand one behind the other from 1 MiB on, `between` bytes apart.
void plan_addresses(const int64_t* requests, int count, int64_t between, int64_t* addresses) {
  Arena arena;
  int64_t next = 1 << 20;
  for (int i = 0; i < count; ++i) {
    addresses[i] = 0;
    if (requests[i] < 0) {
      arena.free(addresses[-1 - requests[i]]);
    } else {
      addresses[i] = arena.allocate(requests[i], [&](int64_t bytes) {
        const int64_t piece = next;
        next += bytes + between;
        return piece;
      });
    }
  }
}

}  // extern "C"
