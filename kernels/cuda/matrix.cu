// Defines the matrix products: three tiles, with and without activation, and with sums of channels after it.
#include "kernels/cuda/matrix.hpp"

using dcvc::cuda::Fold;
using dcvc::cuda::LargeTile;
using dcvc::cuda::MatrixArguments;
using dcvc::cuda::SmallTile;
using dcvc::cuda::WideTile;

#define MATRIX(name, Tile, blocks)                                                        \
  GPU_KERNEL(name##_plain, Tile::kThreads, blocks, Tile::kSharedBytes, MatrixArguments,   \
             (dcvc::cuda::matrix<Tile, false, Fold::kNone>))                              \
  GPU_KERNEL(name##_active, Tile::kThreads, blocks, Tile::kSharedBytes, MatrixArguments,  \
             (dcvc::cuda::matrix<Tile, true, Fold::kNone>))                               \
  GPU_KERNEL(name##_chunked, Tile::kThreads, blocks, Tile::kSharedBytes, MatrixArguments, \
             (dcvc::cuda::matrix<Tile, true, Fold::kHalves>))                             \
  GPU_KERNEL(name##_fours, Tile::kThreads, blocks, Tile::kSharedBytes, MatrixArguments,   \
             (dcvc::cuda::matrix<Tile, true, Fold::kFours>))

MATRIX(matrix_small, SmallTile, 3)
MATRIX(matrix_large, LargeTile, 1)
MATRIX(matrix_wide, WideTile, 2)
