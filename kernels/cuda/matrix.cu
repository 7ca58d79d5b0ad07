// The matrix products that there are: three tiles, with and without activation and chunk-add.
#include "kernels/cuda/matrix.hpp"

using dcvc::cuda::LargeTile;
using dcvc::cuda::MatrixArguments;
using dcvc::cuda::SmallTile;
using dcvc::cuda::WideTile;

#define MATRIX(name, Tile, blocks)                                                        \
  GPU_KERNEL(name##_plain, Tile::kThreads, blocks, Tile::kSharedBytes, MatrixArguments,   \
             (dcvc::cuda::matrix<Tile, false, false>))                                    \
  GPU_KERNEL(name##_active, Tile::kThreads, blocks, Tile::kSharedBytes, MatrixArguments,  \
             (dcvc::cuda::matrix<Tile, true, false>))                                     \
  GPU_KERNEL(name##_chunked, Tile::kThreads, blocks, Tile::kSharedBytes, MatrixArguments, \
             (dcvc::cuda::matrix<Tile, true, true>))

MATRIX(matrix_small, SmallTile, 3)
MATRIX(matrix_large, LargeTile, 1)
MATRIX(matrix_wide, WideTile, 2)
